// Targets in flight without an open attempt: what comes next, by state.
import type { StallAct } from '../strategy.js'
import type { TargetState } from '../states.js'
import type { TargetView } from '../view.js'
import { because, type Draft } from './draft.js'
import { retry } from './outcomes.js'

type Follow = (draft: Draft, target: TargetView) => void

/** A worker died in one of these: what was done on the host is unknown, and `apply` finds out by itself. */
const interrupted: Follow = (draft, target) => {
  if (target.touched) draft.order(target, 'apply', because('RESUME', 'Its last attempt was cut off; the host is asked how far it came.'))
  else retry(draft, target, 'WORKER_GONE', because('WORKER_GONE', 'Its last attempt was cut off before anything was loaded.'))
}

const byState: Partial<Record<TargetState, Follow>> = {
  checking: interrupted, staging: interrupted, loading: interrupted, transitioning: interrupted,
  patched: (draft, target) => {
    const bakeUntil = draft.now + draft.view.strategy.bakeMs
    draft.move(target, 'baking', because('BAKING', `It is watched for ${Math.round(draft.view.strategy.bakeMs / 1000)} s.`), { bakeUntil })
    draft.wakeBy(bakeUntil)
  },
  baking: (draft, target) => {
    const until = target.bakeUntil ?? draft.now
    if (until <= draft.now) draft.order(target, 'look', because('BAKED', 'Its bake time is over; the kernel is asked once more.'))
    else draft.wait(target, because('baking', 'It is patched and watched.'), until)
  },
  stalled: (draft, target) => { stalled(draft, target) },
  lost: (draft, target) => {
    const at = target.notBefore ?? draft.now
    if (at <= draft.now) draft.order(target, 'look', because('LOOK', 'Out of contact; it is looked for again.'))
    else draft.wait(target, because('lost', 'Out of contact; the next look has its time.'), at)
  },
  reverting: (draft, target) => {
    const at = target.notBefore ?? draft.now
    const reversing = target.stall !== null && draft.view.state !== 'reverting'
    if (at <= draft.now) draft.order(target, reversing ? 'reverse' : 'revert', reversing ? because('REVERSE', 'Its stalled transition is turned round.') : because('REVERT', 'Its patch is taken back.'))
    else draft.wait(target, because('revert-later', 'Its revert is tried again later.'), at)
  },
}

export function followTarget(draft: Draft, target: TargetView): void {
  byState[target.state]?.(draft, target)
}

/** When the n-th act after a stall is due, counted from the one before. */
function intervalMs(draft: Draft, done: number): number {
  const { stall } = draft.view.strategy
  return Math.min(stall.intervalMaxMs, stall.intervalMs * 2 ** Math.min(done, 30))
}

const attemptFor = { wait: 'look', nudge: 'nudge' } as const

function stalled(draft: Draft, target: TargetView): void {
  const { stall: policy } = draft.view.strategy
  const stall = target.stall ?? { since: target.since, actsDone: [], lastActAt: target.since }
  if (draft.now - stall.since >= policy.giveUpMs && policy.onGiveUp === 'reverse') { reverse(draft, target, `It has been stalled for ${Math.round((draft.now - stall.since) / 1000)} s; the policy gives up.`); return }
  const dueAt = stall.lastActAt + intervalMs(draft, stall.actsDone.length)
  const act: StallAct = policy.acts[stall.actsDone.length] ?? 'wait'
  if (dueAt > draft.now) {
    draft.wait(target, because('stalled', `It is stalled; next the policy says ${act}.`), Math.min(dueAt, policy.onGiveUp === 'reverse' ? stall.since + policy.giveUpMs : dueAt))
    return
  }
  if (act === 'reverse') { reverse(draft, target, 'The stall policy turns its transition round.'); return }
  draft.order(target, attemptFor[act], because(act === 'wait' ? 'LOOK' : 'NUDGE', act === 'wait' ? 'Is the stall over?' : 'Its blockers are woken.'), { stall: { ...stall, actsDone: [...stall.actsDone, act], lastActAt: draft.now } })
}

function reverse(draft: Draft, target: TargetView, says: string): void {
  const stall = target.stall ?? { since: target.since, actsDone: [], lastActAt: draft.now }
  draft.move(target, 'reverting', because('STALL_REVERSE', says), { looks: 0, notBefore: null, stall: { ...stall, actsDone: [...stall.actsDone, 'reverse'], lastActAt: draft.now } })
}
