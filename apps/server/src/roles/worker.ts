// The worker: does. Any number may run at once; leases with fencing tokens keep them apart.
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { Artefacts } from '../execute/artefacts.js'
import { type AttemptParts, runAttempt } from '../execute/attempt.js'
import { GroupCommit } from '../execute/group-commit.js'
import { Leases } from '../execute/leases.js'
import { ProgressSampler } from '../execute/progress.js'
import type { Parts, Running } from './parts.js'

export function startWorker({ store, queues, reach, log, env }: Parts): Running {
  // Unique among living workers, also after a restart with the same process id.
  const owner = `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(3).toString('hex')}`
  const leases = new Leases(store, owner, env.LEASE_MS)
  const progress = new ProgressSampler(store)
  const parts: AttemptParts = {
    store, reach, leases, progress, artefacts: new Artefacts(store), reports: new GroupCommit(store, owner),
    ringRollout: (id) => queues.ringRollout(id), log: log.child({ role: 'worker', owner }),
  }
  queues.start('execute', (attemptId, signal) => runAttempt(parts, attemptId, signal), env.WORKER_CONCURRENCY)
  return {
    // The queue has stopped and its attempts were handed back: what is left here is only bookkeeping.
    stop: async () => {
      progress.stop()
      await progress.flush()
      leases.stop()
    },
  }
}
