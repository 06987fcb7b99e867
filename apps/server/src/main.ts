// Starts the control plane: the parts, then the roles, then waits to be told to stop.
import 'reflect-metadata'
import path from 'node:path'
import { openStore, startEmbedded, type EmbeddedPostgres } from '@uptide/store'
import { sshRoad } from '@uptide/transport'
import { pino, type Logger } from 'pino'
import { type Env, readEnv } from './env.js'
import { Reach } from './execute/reach.js'
import { armFailPoint } from './fail-points.js'
import { openQueues } from './queues/index.js'
import { startApi } from './roles/api.js'
import { leaveNote, runningHere } from './roles/one-process.js'
import type { Parts, Running } from './roles/parts.js'
import { startScheduler } from './roles/scheduler.js'
import { startWorker } from './roles/worker.js'
import { findKey } from './secrets/key-file.js'
import { Sealer } from './secrets/seal.js'

/** What is under way gets this long to end by itself. */
const stopMaxMs = 20_000
const exitTaken = 3

async function database(env: Env, log: Logger): Promise<{ url: string; embedded: EmbeddedPostgres | null }> {
  if (env.DATABASE_URL !== undefined) return { url: env.DATABASE_URL, embedded: null }
  const embedded = await startEmbedded({ dir: path.join(env.UPTIDE_DATA, 'postgres') })
  log.info({ pid: embedded.pid, adopted: embedded.adopted }, embedded.adopted ? 'the embedded PostgreSQL was running already' : 'the embedded PostgreSQL is up')
  return { url: embedded.url, embedded }
}

const starters: Readonly<Record<Env['ROLES'][number], (parts: Parts) => Running | Promise<Running>>> = { worker: startWorker, scheduler: startScheduler, api: startApi }

async function start(env: Env, log: Logger): Promise<void> {
  const other = env.ROLES.includes('api') ? runningHere(env.UPTIDE_DATA, env.PORT) : null
  if (other) {
    process.stderr.write(`uptide: a control plane runs here already: process ${other.pid} at ${other.url}.\n        Use it, stop it (kill ${other.pid}), or start this one on another port (PORT=…): two on one database are safe.\n`)
    process.exit(exitTaken)
  }
  armFailPoint(env.UPTIDE_FAIL_AT)
  const { url, embedded } = await database(env, log)
  const store = await openStore({ url, migrations: env.UPTIDE_MIGRATIONS, poolMax: env.DATABASE_POOL })
  const found = findKey(env)
  if (found.made) log.warn({ file: found.file }, 'a key was made that seals all credentials: keep a copy where the database\'s backups are not')
  const sealer = new Sealer(found.key)
  const queues = await openQueues({ databaseUrl: url, redisUrl: env.REDIS_URL, log })
  const parts: Parts = { env, store, queues, sealer, reach: new Reach(store, sealer, sshRoad(), env.UPTIDE_GATE), log }
  const roles: Running[] = []
  for (const role of env.ROLES) roles.push(await starters[role](parts))
  const forget = env.ROLES.includes('api') ? leaveNote(env.UPTIDE_DATA, env.PORT, `http://${env.BIND}:${env.PORT}`) : () => {}
  log.info({ roles: env.ROLES, queue: queues.kind, url: `http://${env.BIND}:${env.PORT}` }, 'Uptide is up')

  const stop = async (why: string, code: number): Promise<void> => {
    log.info({ why }, 'stopping')
    setTimeout(() => { process.exit(code || 1) }, stopMaxMs + 5_000).unref()
    await queues.close(stopMaxMs)
    for (const role of roles) await role.stop()
    forget()
    await store.close()
    await embedded?.stop()
    process.exit(code)
  }
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { if (stopping) process.exit(1); stopping = true; void stop(signal, 0) })
  void embedded?.died.then((says) => { log.fatal({}, `${says} Uptide ends; start it again.`); process.exit(1) })
}

try {
  const env = readEnv()
  const log = pino({ level: env.LOG_LEVEL, redact: { paths: ['*.privateKey', '*.passphrase', '*.password', '*.token', '*.secret', '*.authorization', 'req.headers.authorization'], censor: '***' } }, pino.destination(2))
  process.on('unhandledRejection', (error) => { log.error({ error: error instanceof Error ? error.stack : String(error) }, 'an error was not handled') })
  await start(env, log)
} catch (error) {
  process.stderr.write(`uptide: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
