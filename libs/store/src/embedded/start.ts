// A real PostgreSQL for installations that bring none.
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, truncateSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Runner, runner, runProgram, spawnPostgres } from './binaries.js'
import { type Cluster, databaseName, databaseUser, livingPostmaster, openCluster, type Postmaster, writeSettings } from './cluster.js'

export interface EmbeddedPostgres {
  readonly url: string
  readonly pid: number
  /** It was running already: left by a killed server, or used by another one of ours. */
  readonly adopted: boolean
  /** Stops the server unless it was adopted. */
  stop(): Promise<void>
  /** Settles when the server has ended without being asked. */
  readonly died: Promise<string>
}

/** Recovery after a crash replays at most max_wal_size (1 GB); seconds on any disk, minutes on a bad one. */
const startTimeoutMs = 120_000
const watchMs = 1_000
const logBytesMax = 10 * 1024 * 1024

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/**
 * Starts (or adopts) the PostgreSQL of `dir` and makes sure that the database exists.
 * @throws Error saying what happened and what to do.
 */
export async function startEmbedded({ dir, port }: { dir: string; port?: number }): Promise<EmbeddedPostgres> {
  const from = runner()
  const cluster = await openCluster(from, path.resolve(dir))
  const living = livingPostmaster(cluster)
  const adopted = living !== null
  if (!living) await launch(from, cluster, port ?? (await freePort()))
  const master = await untilReady(cluster)
  const url = `postgresql://${databaseUser}:${encodeURIComponent(cluster.password)}@127.0.0.1:${master.port}/${databaseName}`
  await ensureDatabase(url)
  let stopping = false
  const died = (async () => {
    while (alive(master.pid)) await sleep(watchMs, undefined, { ref: false })
    return stopping ? await new Promise<string>(() => {}) : `The embedded PostgreSQL (process ${master.pid}) has ended. Its log: ${cluster.log}`
  })()
  return {
    url, pid: master.pid, adopted, died,
    stop: async () => {
      if (adopted) return
      stopping = true
      await runProgram(from, 'pg_ctl', ['-D', cluster.data, '-m', 'fast', '-w', '-t', '60', 'stop'])
    },
  }
}

const alive = (pid: number): boolean => { try { return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) } catch { return false } }

async function launch(from: Runner, cluster: Cluster, port: number): Promise<void> {
  writeSettings(from, cluster)
  if (existsSync(cluster.log) && statSync(cluster.log).size > logBytesMax) truncateSync(cluster.log)
  const log = openSync(cluster.log, 'a', 0o600)
  const child = spawnPostgres(from, ['-D', cluster.data, '-p', String(port)], log)
  closeSync(log)
  child.unref()
  await once(child, 'spawn')
}

async function untilReady(cluster: Cluster): Promise<Postmaster> {
  const until = Date.now() + startTimeoutMs
  let seen = false
  while (Date.now() < until) {
    const master = livingPostmaster(cluster)
    if (master?.ready) return master
    if (seen && !master) break
    seen ||= master !== null
    await sleep(25)
  }
  const tail = existsSync(cluster.log) ? readFileSync(cluster.log, 'utf8').slice(-2000) : ''
  throw new Error(`The embedded PostgreSQL in ${cluster.data} did not start. The end of its log:\n${tail}`)
}

async function ensureDatabase(url: string): Promise<void> {
  const admin = new URL(url)
  admin.pathname = '/postgres'
  const client = new pg.Client({ connectionString: admin.toString() })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [databaseName])
    // Two first starts at once: the loser's "already exists" is as good as its own success.
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`).catch((error: { code?: string }) => { if (error.code !== '42P04' && error.code !== '23505') throw error })
  } finally { await client.end() }
}
