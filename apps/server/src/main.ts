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

/** Those that do come before the one that takes orders. */
const starters = { worker: startWorker, scheduler: startScheduler, api: startApi } satisfies Record<Env['ROLES'][number], (parts: Parts) => Running | Promise<Running>>

async function start(env: Env, log: Logger): Promise<void> {
  const other = env.ROLES.includes('api') ? runningHere(env.UPTIDE_DATA, env.PORT) : null
  if (other) {
    process.stderr.write(`uptide: a control plane runs here already: process ${other.pid} at ${other.url}.\n        Use it, stop it (kill ${other.pid}), or start this one on another port (PORT=…): two on one database are safe.\n`)
    process.exit(exitTaken)
  }
  armFailPoint(env.UPTIDE_FAIL_AT)
  const die = (says: string): void => { log.fatal({}, says); process.exit(1) }
  const { url, embedded } = await database(env, log)
  void embedded?.died.then((says) => { die(`${says} Uptide ends; start it again.`) })
  const store = await openStore({ url, migrations: env.UPTIDE_MIGRATIONS, poolMax: env.DATABASE_POOL })
  const found = findKey(env)
  if (found.made) log.warn({ file: found.file }, 'a key was made that seals all credentials: keep a copy where the database\'s backups are not')
  const sealer = new Sealer(found.key)
  const queues = await openQueues({ databaseUrl: url, redisUrl: env.REDIS_URL, log, refused: (says) => { die(says) } })
  const parts: Parts = { env, store, queues, sealer, reach: new Reach(store, sealer, sshRoad(), env.UPTIDE_GATE), log }
  const roles: Running[] = []
  const all = Object.keys(starters) as (keyof typeof starters)[]
  for (const role of all.filter((name) => env.ROLES.includes(name))) roles.push(await starters[role](parts))
  const at = env.ROLES.includes('api') ? { url: `http://${env.BIND}:${env.PORT}` } : {}
  const forget = at.url === undefined ? () => {} : leaveNote(env.UPTIDE_DATA, env.PORT, at.url)
  log.info({ roles: env.ROLES, queue: queues.kind, ...at }, 'Uptide is up')

  const stop = async (why: string): Promise<void> => {
    log.info({ why }, 'stopping')
    setTimeout(() => { die('what was under way did not end in time') }, stopMaxMs + 5_000).unref()
    await queues.close(stopMaxMs)
    for (const role of roles) await role.stop()
    forget()
    await store.close()
    await embedded?.stop()
    process.exit(0)
  }
  let stopping = false
  // A second signal does not wait.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { if (stopping) process.exit(1); stopping = true; stop(signal).catch((error: unknown) => { die(`stopping failed: ${String(error)}`) }) })
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
