// The scheduler: decides. Any number may run at once; the rollout's generation lets one commit.
import { Reconciler } from '../reconcile/reconciler.js'
import type { Parts, Running } from './parts.js'

export function startScheduler({ store, queues, log, env }: Parts): Running {
  const reconciler = new Reconciler(store, queues, log.child({ role: 'scheduler' }), env.SWEEP_MS)
  queues.start('reconcile', (rolloutId, signal) => reconciler.reconcile(rolloutId, signal))
  reconciler.startSweep()
  return { stop: () => reconciler.stop() }
}
