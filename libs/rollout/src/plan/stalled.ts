// Transitions that do not end: the policy's acts in their order at growing intervals, then giving up. On the way
// back the same holds, without a further turn.
import type { StallAct } from '../strategy.js'
import type { TargetView } from '../view.js'
import { because, type Draft } from './draft.js'
import { orderNext } from './budget.js'
import { takenBack } from './revert.js'

/** Acts kept on a target. The interval has long stopped growing by then, and a stall of weeks must not grow a row. */
const actsKeptMax = 40

type Stall = NonNullable<TargetView['stall']>

const stallOf = (target: TargetView): Stall => target.stall ?? { since: target.since, actsDone: [], lastActAt: target.since }

/** The pause before the next act, milliseconds, after `done` of them. */
export function stallPauseMs(draft: Draft, done: number): number {
  const { stall } = draft.view.strategy
  return Math.min(stall.intervalMaxMs, stall.intervalMs * 2 ** Math.min(done, 30))
}

const attemptFor = { wait: 'look', nudge: 'nudge' } as const
const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`

export function followStalled(draft: Draft, target: TargetView): void {
  const { stall: policy } = draft.view.strategy
  const stall = stallOf(target)
  const giveUpAt = stall.since + policy.giveUpMs
  if (giveUpAt <= draft.now) { giveUp(draft, target, stall); return }
  const act: StallAct = policy.acts[stall.actsDone.length] ?? 'wait'
  const dueAt = stall.lastActAt + stallPauseMs(draft, stall.actsDone.length)
  if (dueAt > draft.now) { draft.wait(target, because('stalled', `It is stalled; next the policy says ${act}.`), Math.min(dueAt, giveUpAt)); return }
  if (act === 'reverse') { turnRound(draft, target, stall, 'The stall policy turns its transition round.'); return }
  const set = { notBefore: null, stall: { ...stall, actsDone: [...stall.actsDone, act].slice(-actsKeptMax), lastActAt: draft.now } }
  orderNext(draft, target, attemptFor[act], because(act === 'wait' ? 'LOOK' : 'NUDGE', act === 'wait' ? 'The kernel is asked whether the stall is over.' : 'Its blockers are woken.'), set)
}

function turnRound(draft: Draft, target: TargetView, stall: Stall, says: string): void {
  const acts: StallAct[] = [...stall.actsDone.slice(-actsKeptMax), 'reverse']
  draft.move(target, 'reverting', because('STALL_REVERSE', says), { looks: 0, notBefore: null, stall: { ...stall, actsDone: acts, lastActAt: draft.now } })
}

/** Older than the policy's patience. Holding counts the host as failed at once: resuming accepts it, and does not hold again. */
function giveUp(draft: Draft, target: TargetView, stall: Stall): void {
  const says = `It has been stalled for ${seconds(draft.now - stall.since)}; the policy gives up.`
  if (draft.view.strategy.stall.onGiveUp === 'reverse') { turnRound(draft, target, stall, says); return }
  draft.move(target, 'failed', because('STALL_GIVEN_UP', says), { touched: true, stall: null })
  draft.stallGivenUp = `${target.hostName} has been stalled for ${seconds(draft.now - stall.since)}.`
}

/** The policy asked for the turn, and nobody has asked for more since: a transition that completed meanwhile may stay. */
export const isPolicyReverse = (draft: Draft, target: TargetView): boolean =>
  target.stall?.actsDone.includes('reverse') === true && !takenBack(draft, target)

/** A way back that stalls: seen again at the policy's intervals, nudged where the policy may, until it gives up. */
export function stalledOnTheWayBack(draft: Draft, target: TargetView, says: string): void {
  const { stall: policy } = draft.view.strategy
  if (draft.now - target.since >= policy.giveUpMs) {
    draft.move(target, 'failed', because('REVERT_FAILED', `The way back has been stalled for ${seconds(draft.now - target.since)}. ${says}`), { stall: null })
    return
  }
  const looks = target.looks + 1
  const notBefore = draft.now + stallPauseMs(draft, looks - 1)
  draft.note(target, because('REVERT_STALLED', `The way back is stalled. ${says}`), { looks, notBefore })
  draft.wakeBy(notBefore)
}

/** After a stalled try the blockers are woken, if the policy ever wakes them; then the way back is tried again. */
export const shouldNudgeBack = (draft: Draft, target: TargetView): boolean =>
  target.attempt?.state === 'done' && target.attempt.outcome?.kind === 'stalled' && target.attempt.kind !== 'nudge'
  && draft.view.strategy.stall.acts.includes('nudge')
