// A control plane's scheduler and worker in this process, as main.ts starts them: real database, real queue, real SSH.
import { openStore, type Store } from '@uptide/store'
import { sshRoad } from '@uptide/transport'
import { pino } from 'pino'
import { readEnv } from '../env.js'
import { Reach } from '../execute/reach.js'
import { openQueues } from '../queues/index.js'
import type { Parts, Running } from '../roles/parts.js'
import { startScheduler } from '../roles/scheduler.js'
import { startWorker } from '../roles/worker.js'
import { Sealer } from '../secrets/seal.js'

export interface Plane {
  readonly store: Store
  readonly sealer: Sealer
  readonly log: readonly string[]
  ring(rolloutId: string): Promise<void>
  /** As SIGTERM would. */
  stop(): Promise<void>
}

export const specKey = new Uint8Array(32).fill(7)
/** A worker's death costs this much, and not the 15 s of a real one. */
export const specLeaseMs = 1_500

export async function startPlane(options: { databaseUrl: string; redisUrl?: string; key?: Uint8Array; roles?: readonly ('scheduler' | 'worker')[] }): Promise<Plane> {
  const env = readEnv({ DATABASE_URL: options.databaseUrl, REDIS_URL: options.redisUrl, LEASE_MS: String(specLeaseMs), SWEEP_MS: '400' })
  const said: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => { said.push(line) } })
  const store = await openStore({ url: options.databaseUrl, poolMax: 6 })
  const sealer = new Sealer(options.key ?? specKey)
  const queues = await openQueues({ databaseUrl: options.databaseUrl, redisUrl: options.redisUrl, log })
  const parts: Parts = { env, store, queues, sealer, log, reach: new Reach(store, sealer, sshRoad({ tcpMs: 2_000, readyMs: 5_000 }), env.UPTIDE_GATE) }
  const roles: Running[] = (options.roles ?? ['worker', 'scheduler']).map((role) => (role === 'worker' ? startWorker(parts) : startScheduler(parts)))
  return {
    store, sealer, log: said, ring: (id) => queues.ringRollout(id),
    stop: async () => {
      await queues.close(10_000)
      for (const role of roles) await role.stop()
      await store.close()
    },
  }
}
