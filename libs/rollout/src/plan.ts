// The decider. Pure: the same view and the same moment give the same plan, byte for byte.
import type { Plan } from './decisions.js'
import { chaseAttempt } from './plan/attempts.js'
import { closed, startReverts, startTargets } from './plan/budget.js'
import { because, Draft } from './plan/draft.js'
import { endRollout } from './plan/endings.js'
import { followTarget } from './plan/follow.js'
import { takeOutcome } from './plan/outcomes.js'
import { mustRevert, revertNow } from './plan/revert.js'
import { enforceThreshold } from './plan/threshold.js'
import { advanceWaves } from './plan/waves.js'
import { defaultRules, type PlanRules } from './rules.js'
import { targetMeaning } from './states.js'
import type { RolloutView, TargetView } from './view.js'

export { ringAgainMs } from './plan/attempts.js'
export { lostLooksMax, revertTriesMax } from './plan/retry.js'

/**
 * What should happen now.
 * @param now milliseconds since the epoch, from the database's clock.
 * @returns decisions for one commit, and for every target of the view that was left alone the reason why.
 * Costs what is in flight, never the fleet.
 */
export function plan(view: RolloutView, now: number, rules: PlanRules = defaultRules): Plan {
  const draft = new Draft(view, now, rules)
  if (view.state === 'draft' || view.state === 'awaiting-approval') {
    for (const target of view.candidates) draft.wait(target, because('not-started', `The rollout is ${view.state}.`))
    return draft.done()
  }
  const shut = closed(draft)
  if (view.state === 'scheduled' && shut) { for (const target of view.candidates) draft.wait(target, shut.reason, shut.until); if (shut.until !== undefined) draft.wakeBy(shut.until); return draft.done() }
  if (view.state === 'scheduled') draft.decide({ do: 'move-rollout', to: 'running', reason: because('START', 'The rollout starts.') })
  for (const target of view.active) planTarget(draft, target)
  const stopped = enforceThreshold(draft)
  if ((view.state === 'cancelled' || view.state === 'reverting') && view.pending > 0) draft.decide({ do: 'cancel-pending', reason: because('CANCELLED', `The rollout is ${view.state}; these hosts were not started.`) })
  if (!stopped) advanceWaves(draft)
  startTargets(draft, stopped)
  startReverts(draft)
  endRollout(draft)
  return draft.done()
}

function planTarget(draft: Draft, target: TargetView): void {
  if (chaseAttempt(draft, target)) return
  const { attempt } = target
  if (attempt?.state === 'done' && attempt.outcome && !target.attemptUsed) takeOutcome(draft, target, attempt, attempt.outcome)
  else if (mustRevert(draft, target)) revertNow(draft, target)
  else if (targetMeaning[target.state].inFlight) followTarget(draft, target)
  else draft.wait(target, because('settled', `It ${targetMeaning[target.state].says}.`))
}
