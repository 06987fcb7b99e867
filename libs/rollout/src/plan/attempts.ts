// Attempts on their way: lost wake-ups are rung again, dead workers' attempts are abandoned.
import type { TargetView } from '../view.js'
import { because, type Draft } from './draft.js'

/** An ordered attempt that nobody claimed is handed to the queue again after this long. Longer than a busy queue's wait. */
export const ringAgainMs = 15_000

/** @returns true when the target has an open attempt, which is then all there is to say about it. */
export function chaseAttempt(draft: Draft, target: TargetView): boolean {
  const { attempt } = target
  if (!attempt || attempt.state === 'done' || attempt.state === 'abandoned') return false
  if (attempt.state === 'running') {
    if (attempt.leaseExpired) draft.decide({ do: 'abandon-attempt', attemptId: attempt.id, targetId: target.id, reason: because('WORKER_GONE', 'The worker that ran it is gone; its lease has expired.') })
    else draft.wait(target, because('attempt-running', `Its ${attempt.kind} is under way.`))
    return true
  }
  const dueAt = attempt.rungAt + ringAgainMs
  if (dueAt <= draft.now) draft.decide({ do: 'ring-attempt', attemptId: attempt.id })
  draft.wait(target, because('attempt-ordered', `Its ${attempt.kind} waits for a worker.`), dueAt <= draft.now ? draft.now + ringAgainMs : dueAt)
  return true
}
