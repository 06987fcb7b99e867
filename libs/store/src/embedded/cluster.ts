// One PostgreSQL data folder: made once, kept between starts, adopted when its server is still alive.
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync, writeSync, openSync, closeSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Runner, runProgram } from './binaries.js'

export interface Cluster {
  readonly folder: string
  readonly data: string
  readonly log: string
  readonly password: string
}

export const databaseUser = 'uptide'
export const databaseName = 'uptide'
/** The data folder's format; a newer major version needs a dump and restore. */
export const majorVersion = '18'

const passwordFile = (folder: string): string => path.join(folder, 'password')

function own(from: Runner, file: string): void {
  if (from.uid !== undefined && from.gid !== undefined) chownSync(file, from.uid, from.gid)
}

/** Creates the cluster when there is none. A half-made one (killed during initdb) is made again. */
export async function openCluster(from: Runner, folder: string): Promise<Cluster> {
  const data = path.join(folder, 'data')
  const cluster = (): Cluster => ({ folder, data, log: path.join(folder, 'postgres.log'), password: readFileSync(passwordFile(folder), 'utf8').trim() })
  if (existsSync(path.join(data, 'PG_VERSION'))) {
    const version = readFileSync(path.join(data, 'PG_VERSION'), 'utf8').trim()
    if (version !== majorVersion) throw new Error(`${data} was made by PostgreSQL ${version}, and this is PostgreSQL ${majorVersion}. Dump it with the old one and restore it, or set DATABASE_URL.`)
    return cluster()
  }
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  own(from, folder)
  writePassword(folder, randomBytes(24).toString('base64url'))
  const making = path.join(folder, 'making')
  rmSync(making, { recursive: true, force: true })
  // The password goes by a file of mode 0600: it never stands in an argument list.
  own(from, passwordFile(folder))
  await runProgram(from, 'initdb', ['--pgdata', making, '--username', databaseUser, '--pwfile', passwordFile(folder), '--auth', 'scram-sha-256', '--encoding', 'UTF8', '--locale', 'C.UTF-8', '--data-checksums'])
  renameSync(making, data)
  return cluster()
}

function writePassword(folder: string, password: string): void {
  const file = openSync(passwordFile(folder), 'w', 0o600)
  try { writeSync(file, `${password}\n`) } finally { closeSync(file) }
}

export interface Postmaster { readonly pid: number; readonly port: number; readonly ready: boolean }

/** What postmaster.pid says, when the process it names is alive and is a postgres. */
export function livingPostmaster(cluster: Cluster): Postmaster | null {
  let lines: string[]
  try { lines = readFileSync(path.join(cluster.data, 'postmaster.pid'), 'utf8').split('\n') } catch { return null }
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 1) return null
  try {
    if (!/postgres|postmaster/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))) return null
  } catch { return null }
  return { pid, port: Number(lines[3]), ready: (lines[7] ?? '').trim() === 'ready' }
}

/** Rewritten at every start, so that a new version's settings reach an old folder. */
export function writeSettings(from: Runner, cluster: Cluster): void {
  const file = path.join(cluster.data, 'postgresql.auto.conf')
  writeFileSync(file, [
    '# Written by Uptide at every start.',
    "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''",
    'max_connections = 120', 'shared_buffers = 128MB', 'fsync = on', 'synchronous_commit = on', 'full_page_writes = on',
    // A worker that is killed holds its transaction no longer than this.
    "idle_in_transaction_session_timeout = '30s'", "tcp_keepalives_idle = 30", 'max_wal_size = 1GB', "log_min_messages = 'warning'", '',
  ].join('\n'), { mode: 0o600 })
  own(from, file)
}
