// Attempts on their way: lost wake-ups are rung again, dead workers' attempts are abandoned, and so is a start
// that nobody has claimed when nothing may start any more.
import type { TargetView } from '../view.js'
import { because, type Draft } from './draft.js'

/** An ordered attempt that nobody claimed is handed to the queue again after this long: what a lost queue costs at most. A second ring of a claimed one is a no-op. */
export const ringAgainMs = 5_000

/** @returns true when the target has an open attempt, which is then all there is to say about it. */
export function chaseAttempt(draft: Draft, target: TargetView): boolean {
  const { attempt } = target
  if (!attempt || attempt.state === 'done' || attempt.state === 'abandoned') return false
  const abandon = (code: string, says: string): void => draft.decide({ do: 'abandon-attempt', attemptId: attempt.id, targetId: target.id, reason: because(code, says) })
  if (attempt.state === 'running') {
    if (attempt.leaseExpired) abandon('WORKER_GONE', 'The worker that ran it is gone; its lease has expired.')
    else draft.wait(target, because('attempt-running', `Its ${attempt.kind} is under way.`))
    return true
  }
  if (target.state === 'pending') {
    const build = draft.buildOf(target)
    const when = draft.view.state !== 'running' ? `the rollout was ${draft.view.state}` : build?.halted || build?.stopped ? 'its build was stopped' : null
    if (when !== null) { abandon('NOT_STARTED', `No worker had begun with it when ${when}.`); return true }
  }
  const dueAt = attempt.rungAt + ringAgainMs
  if (dueAt <= draft.now) draft.decide({ do: 'ring-attempt', attemptId: attempt.id })
  draft.wait(target, because('attempt-ordered', `Its ${attempt.kind} waits for a worker.`), dueAt <= draft.now ? draft.now + ringAgainMs : dueAt)
  return true
}
