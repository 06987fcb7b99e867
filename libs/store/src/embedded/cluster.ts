// One PostgreSQL data folder: made once, kept between starts, adopted when its server is still alive.
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, readFileSync, readlinkSync, realpathSync, writeFileSync, writeSync, openSync, closeSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Runner, runProgram } from './binaries.js'

export interface Cluster {
  readonly folder: string
  readonly data: string
  readonly log: string
  readonly password: string
}

/** Left behind by a killed server whose number another process bears now: PostgreSQL would not start beside it. */
export function dropStalePid(cluster: Cluster): void {
  if (readPidFile(cluster)?.ours === false) rmSync(path.join(cluster.data, 'postmaster.pid'), { force: true })
}

const portFile = (cluster: Cluster): string => path.join(cluster.folder, 'port')

/** The port of the last start, so that clients find the server again after a crash; null the first time. */
export function lastPort(cluster: Cluster): number | null {
  try { return Number(readFileSync(portFile(cluster), 'utf8')) || null } catch { return null }
}

export function keepPort(cluster: Cluster, port: number): void { writeFileSync(portFile(cluster), `${port}\n`) }

export const databaseUser = 'uptide'
export const databaseName = 'uptide'
/** The data folder's format; a newer major version needs a dump and restore. */
export const majorVersion = '18'

const passwordFile = (folder: string): string => path.join(folder, 'password')

function own(from: Runner, file: string): void {
  if (from.uid !== undefined && from.gid !== undefined) chownSync(file, from.uid, from.gid)
}

/** Opens the folder's cluster, under its lock. Makes one when there is none. A half-made one (killed during initdb) is made again. */
export async function openCluster(from: Runner, folder: string): Promise<Cluster> {
  const data = path.join(folder, 'data')
  const cluster = (): Cluster => ({ folder, data, log: path.join(folder, 'postgres.log'), password: readFileSync(passwordFile(folder), 'utf8').trim() })
  if (existsSync(path.join(data, 'PG_VERSION'))) {
    const version = readFileSync(path.join(data, 'PG_VERSION'), 'utf8').trim()
    if (version !== majorVersion) throw new Error(`${data} was made by PostgreSQL ${version}, and this is PostgreSQL ${majorVersion}. Dump it with the old one and restore it, or set DATABASE_URL.`)
    return cluster()
  }
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

type PidFile = { readonly pid: number; readonly port: number; readonly ready: boolean; readonly ours: boolean | null }

/** What postmaster.pid says; `ours` is null when no such process lives. Null when there is no such file. */
function readPidFile(cluster: Cluster): PidFile | null {
  let lines: string[]
  try { lines = readFileSync(path.join(cluster.data, 'postmaster.pid'), 'utf8').split('\n') } catch { return null }
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 1) return null
  return { pid, port: Number(lines[3]), ready: (lines[7] ?? '').trim() === 'ready', ours: serves(pid, cluster) }
}

/** A PostgreSQL server works inside its data folder; after a reboot its number may be any other process's. */
function serves(pid: number, cluster: Cluster): boolean | null {
  if (!existsSync(`/proc/${pid}`)) return null
  try { return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(cluster.data) } catch { return existsSync(`/proc/${pid}`) ? false : null }
}

export function livingPostmaster(cluster: Cluster): Postmaster | null {
  const file = readPidFile(cluster)
  return file?.ours === true ? file : null
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
