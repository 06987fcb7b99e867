// Targets in flight without an open attempt: what comes next, by state.
import type { TargetState } from '../states.js'
import type { TargetView } from '../view.js'
import { nextCheckAt } from './bake.js'
import { orderNext } from './budget.js'
import { because, type Draft } from './draft.js'
import { lost, retry, retryRevert } from './retry.js'
import { followStalled, isPolicyReverse, shouldNudgeBack } from './stalled.js'

type Follow = (draft: Draft, target: TargetView) => void

/** A worker died in one of these: what was done on the host is unknown, and `apply` finds out by itself. */
const interrupted: Follow = (draft, target) => {
  if (!target.touched) { retry(draft, target, 'WORKER_GONE', because('WORKER_GONE', 'Its last attempt was cut off before anything was loaded.')); return }
  const cut = because('RESUME', 'Its last attempt was cut off; the host is asked how far it came.')
  // Every resume is a try: what brings its worker down each time is looked at from then on, and not touched.
  if (target.tries >= draft.view.strategy.retry.attemptsMax) lost(draft, target, because('WORKER_GONE', `Its attempts were cut off ${target.tries} times.`))
  else if ((target.notBefore ?? 0) > draft.now) draft.wait(target, because('retry-later', 'Its next try has its time.'), target.notBefore ?? draft.now)
  else orderNext(draft, target, 'apply', cut, { tries: target.tries + 1, notBefore: null })
}

// An attempt is ordered with notBefore = null: null with an abandoned attempt is one that was cut off and not counted yet.
const cutOff = (target: TargetView): boolean => target.attempt?.state === 'abandoned' && target.notBefore === null

const byState: Partial<Record<TargetState, Follow>> = {
  checking: interrupted, staging: interrupted, loading: interrupted, transitioning: interrupted,
  patched: (draft, target) => {
    const { bakeMs } = draft.view.strategy
    const bakeUntil = draft.now + bakeMs
    const notBefore = nextCheckAt(draft.view.strategy, bakeUntil, draft.now)
    draft.move(target, 'baking', because('BAKING', `It is watched for ${Math.round(bakeMs / 1000)} s.`), { bakeUntil, looks: 0, notBefore })
    draft.wakeBy(notBefore)
  },
  baking: (draft, target) => {
    const at = target.notBefore ?? (cutOff(target) ? draft.now : (target.bakeUntil ?? draft.now))
    const over = (target.bakeUntil ?? draft.now) <= draft.now
    if (at > draft.now) draft.wait(target, because('baking', 'It is patched and watched.'), at)
    else orderNext(draft, target, 'look', over ? because('BAKED', 'Its bake time is over; the kernel is asked once more.') : because('CHECK', 'The kernel is asked while the host is watched.'), { notBefore: null })
  },
  stalled: followStalled,
  lost: (draft, target) => {
    const at = target.notBefore ?? draft.now
    if (cutOff(target)) lost(draft, target, because('WORKER_GONE', 'The worker that looked for it is gone.'))
    else if (at > draft.now) draft.wait(target, because('lost', 'Out of contact; the next look has its time.'), at)
    else orderNext(draft, target, 'look', because('LOOK', 'Out of contact; it is looked for again.'), { notBefore: null })
  },
  reverting: (draft, target) => {
    const at = target.notBefore ?? draft.now
    if (cutOff(target) && target.attempt !== null && onTheWayBack.has(target.attempt.kind)) retryRevert(draft, target, 'WORKER_GONE')
    else if (at > draft.now) draft.wait(target, because('revert-later', 'Its revert is tried again later.'), at)
    else if (shouldNudgeBack(draft, target)) orderNext(draft, target, 'nudge', because('NUDGE', 'Its way back is stalled; its blockers are woken.'), { notBefore: null })
    else if (isPolicyReverse(draft, target)) orderNext(draft, target, 'reverse', because('REVERSE', 'Its stalled transition is turned round.'), { notBefore: null })
    else orderNext(draft, target, 'revert', because('REVERT', 'Its patch is taken back.'), { notBefore: null })
  },
}

const onTheWayBack: ReadonlySet<string> = new Set(['revert', 'reverse'])

export function followTarget(draft: Draft, target: TargetView): void {
  byState[target.state]?.(draft, target)
}
