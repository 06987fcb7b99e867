// A real PostgreSQL for installations that bring none.
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Runner, runner, runProgram, spawnPostgres } from './binaries.js'
import { type Cluster, databaseName, databaseUser, dropStalePid, keepPort, lastPort, livingPostmaster, openCluster, type Postmaster, writeSettings } from './cluster.js'
import { placeFor } from './place.js'
import { enter, leave, locked } from './users.js'

export interface EmbeddedPostgres {
  readonly url: string
  readonly pid: number
  /** It was running already: left by a killed process of ours, or used by another one. */
  readonly adopted: boolean
  /** Where its data and its log are. */
  readonly folder: string
  /** Stops the server, unless another process of ours still uses it. */
  stop(): Promise<void>
  /** Settles with a sentence when the server has ended without being asked. */
  readonly died: Promise<string>
}

/** Recovery after a crash replays at most max_wal_size (1 GB): seconds on any disk, minutes on a bad one. */
const startTimeoutMs = 120_000
const watchMs = 1_000
const logBytesMax = 10 * 1024 * 1024
/** Children of a killed server may hold its memory a moment longer; the next one does not start beside them. */
const launchesMax = 5
const launchAgainMs = 1_000

/**
 * Starts (or adopts) the PostgreSQL of `dir` and makes sure that its database exists.
 * @param port wanted port; else the last one, when it is free, else any.
 * @throws Error saying what happened and what to do.
 */
export async function startEmbedded({ dir, port }: { dir: string; port?: number }): Promise<EmbeddedPostgres> {
  const from = runner()
  const folder = placeFor(from, dir)
  return locked(folder, async () => {
    const cluster = await openCluster(from, folder)
    const adopted = livingPostmaster(cluster) !== null
    const master = adopted ? await untilReady(cluster) : await launch(from, cluster, port)
    const url = `postgresql://${databaseUser}:${encodeURIComponent(cluster.password)}@127.0.0.1:${master.port}/${databaseName}`
    await ensureDatabase(url)
    enter(folder)
    return { url, pid: master.pid, adopted, folder, ...watched(from, cluster, master) }
  })
}

function watched(from: Runner, cluster: Cluster, master: Postmaster): Pick<EmbeddedPostgres, 'stop' | 'died'> {
  let stopped = false
  const died = (async () => {
    while (!stopped && alive(master.pid)) await sleep(watchMs, undefined, { ref: false })
    return stopped ? await new Promise<string>(() => {}) : `The embedded PostgreSQL (process ${master.pid}) has ended. Its log: ${cluster.log}`
  })()
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await locked(cluster.folder, async () => {
      if (leave(cluster.folder) && livingPostmaster(cluster)) await runProgram(from, 'pg_ctl', ['-D', cluster.data, '-m', 'fast', '-w', '-t', '60', 'stop'])
    })
  }
  return { stop, died }
}

const alive = (pid: number): boolean => { try { return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) } catch { return false } }

async function launch(from: Runner, cluster: Cluster, port?: number): Promise<Postmaster> {
  writeSettings(from, cluster)
  for (let times = 1; ; times++) {
    dropStalePid(cluster)
    const logFrom = startLog(cluster)
    await spawnServer(from, cluster, await choosePort(port ?? lastPort(cluster), port !== undefined))
    try {
      const master = await untilReady(cluster)
      keepPort(cluster, master.port)
      return master
    } catch (error) {
      const said = existsSync(cluster.log) ? readFileSync(cluster.log, 'utf8').slice(logFrom) : ''
      if (times >= launchesMax || !/still in use/.test(said)) throw error
      await sleep(launchAgainMs)
    }
  }
}

/** @returns where the words of this start begin. */
function startLog(cluster: Cluster): number {
  if (!existsSync(cluster.log)) return 0
  if (statSync(cluster.log).size > logBytesMax) truncateSync(cluster.log)
  return statSync(cluster.log).size
}

async function spawnServer(from: Runner, cluster: Cluster, port: number): Promise<void> {
  const log = openSync(cluster.log, 'a', 0o600)
  const child = spawnPostgres(from, ['-D', cluster.data, '-p', String(port)], log)
  closeSync(log)
  child.on('error', () => { /* Told by untilReady: nothing becomes ready. */ })
  child.unref()
  await once(child, 'spawn')
}

async function choosePort(wanted: number | null, must: boolean): Promise<number> {
  const server = createServer()
  try {
    server.listen(wanted ?? 0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as { port: number }).port
  } catch (error) {
    if (wanted === null || must) throw new Error(`The embedded PostgreSQL cannot listen on 127.0.0.1:${wanted}: ${(error as Error).message}`, { cause: error })
    return await choosePort(null, false)
  } finally {
    if (server.listening) await new Promise((done) => { server.close(done) })
  }
}

async function untilReady(cluster: Cluster): Promise<Postmaster> {
  const until = Date.now() + startTimeoutMs
  let seen = false
  // The first look may come before the server has written its file.
  for (let looks = 0; Date.now() < until; looks++) {
    const master = livingPostmaster(cluster)
    if (master?.ready) return master
    if (!master && (seen || looks > 200)) break
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
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`)
  } finally { await client.end() }
}
