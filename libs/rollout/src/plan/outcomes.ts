// What an attempt brought home becomes the target's next state: one table, by outcome.
import type { Outcome } from '../outcome.js'
import { pauseMs } from '../rules.js'
import type { AttemptView, TargetView } from '../view.js'
import { because, type Draft } from './draft.js'

/** Looks at a host that is out of contact before it is given up. With 2 s doubling up to 60 s: about 6 minutes. */
export const lostLooksMax = 10

type Taken = { readonly draft: Draft; readonly target: TargetView; readonly attempt: AttemptView }
type Take<K extends Outcome['kind']> = (at: Taken, outcome: Extract<Outcome, { kind: K }>) => void

const table: { readonly [K in Outcome['kind']]: Take<K> } = {
  patched: ({ draft, target, attempt }, outcome) => {
    // A revert that finds the patch active has not worked; a reverse that came too late leaves a good patch alone.
    if (target.state === 'reverting' && attempt.kind === 'revert') { retryRevert(draft, target, 'STILL_ACTIVE'); return }
    if (target.state === 'baking') { draft.move(target, 'succeeded', because('HEALTHY', 'The kernel says it is patched, and the host stayed well while it was watched.')); return }
    if (target.state === 'lost' && target.bakeUntil !== null) { draft.move(target, 'baking', because('BACK', 'The host is back, still patched.'), { touched: true }); return }
    const took = outcome.transitionMs === null ? '' : ` The transition took ${outcome.transitionMs} ms.`
    draft.move(target, 'patched', because(outcome.already ? 'ALREADY_PATCHED' : 'PATCHED', outcome.already ? 'The kernel had this build active already.' : `The kernel says the transition is complete.${took}`), { touched: true, stall: null })
  },
  healthy: ({ draft, target }) => {
    if (target.state === 'baking') draft.move(target, 'succeeded', because('HEALTHY', 'The kernel says it is patched, and the host stayed well while it was watched.'))
    else if (target.state === 'lost' && target.bakeUntil !== null) draft.move(target, 'baking', because('BACK', 'The host is back, still patched.'))
    else draft.move(target, 'patched', because('PATCHED', 'The kernel says the transition is complete.'), { touched: true, stall: null })
  },
  unhealthy: ({ draft, target }, outcome) => { draft.move(target, 'failed', because(outcome.code, `${draft.rules.sentenceOf(outcome.code)} ${outcome.detail}`.trim())) },
  stalled: ({ draft, target }, outcome) => {
    const says = outcome.tasks.moved >= outcome.tasks.all && outcome.blockers.length === 0
      ? `All ${outcome.tasks.all} tasks have moved; an idle CPU has not passed its idle loop yet.`
      : `${outcome.tasks.all - outcome.tasks.moved} of ${outcome.tasks.all} tasks do not move: ${[...new Set(outcome.blockers.map((one) => one.comm))].slice(0, 5).join(', ') || 'unknown'}.`
    if (target.state === 'reverting') { retryRevert(draft, target, 'STALLED'); return }
    const stall = target.stall ?? { since: draft.now - outcome.transitionAgeMs, actsDone: [], lastActAt: draft.now }
    draft.move(target, 'stalled', because('STALLED', says), { touched: true, stall })
  },
  reverted: ({ draft, target, attempt }) => {
    if (attempt.kind === 'look' || attempt.kind === 'nudge' || attempt.kind === 'apply') { gone(draft, target); return }
    draft.move(target, 'reverted', attempt.kind === 'reverse'
      ? because('REVERSED', 'The transition was turned round; the host runs its former code.')
      : because('REVERTED', 'The patch was disabled and unloaded.'), { touched: false, stall: null })
  },
  skipped: ({ draft, target }, outcome) => {
    const reason = because(outcome.code, `${draft.rules.sentenceOf(outcome.code)} ${outcome.detail}`.trim())
    draft.move(target, target.state === 'pending' || target.state === 'checking' ? 'skipped' : 'failed', reason)
  },
  failed: ({ draft, target, attempt }, outcome) => { failed(draft, target, attempt, outcome) },
  rebooted: ({ draft, target }, outcome) => {
    if (target.state === 'reverting') { draft.move(target, 'reverted', because('REBOOTED', 'The host rebooted while it was being reverted; its new kernel does not hold the patch.'), { touched: false, stall: null }); return }
    if (outcome.touched === 'no' && !target.touched) { retry(draft, target, 'REBOOTED'); return }
    draft.move(target, 'failed', because('REBOOTED', 'The host rebooted after our module was loaded.'), { touched: false, stall: null })
  },
}

export function takeOutcome(draft: Draft, target: TargetView, attempt: AttemptView, outcome: Outcome): void {
  ;(table[outcome.kind] as Take<typeof outcome.kind>)({ draft, target, attempt }, outcome as never)
}

/** The module is not there although it was: somebody else undid it, or the load never happened. */
function gone(draft: Draft, target: TargetView): void {
  if (target.state === 'lost' && target.bakeUntil === null) draft.move(target, 'pending', because('NOT_LOADED', 'The host is back and does not hold our module; it is tried again.'), { touched: false, notBefore: null, stall: null })
  else draft.move(target, 'failed', because('MODULE_GONE', 'Our module is not on the host any more; somebody else unloaded it.'), { touched: false, stall: null })
}

function failed(draft: Draft, target: TargetView, attempt: AttemptView, outcome: Extract<Outcome, { kind: 'failed' }>): void {
  const { code } = outcome
  const reason = because(code, `${draft.rules.sentenceOf(code)} ${outcome.detail}`.trim())
  const touched = target.touched || outcome.touched !== 'no'
  const contact = draft.rules.isContact(code)
  if (target.state === 'reverting') {
    if (contact || draft.rules.retryOf(code) !== 'never') retryRevert(draft, target, code)
    else draft.move(target, 'failed', because('REVERT_FAILED', `The revert failed. ${reason.says}`))
  } else if (contact && touched) lost(draft, target, reason)
  else if ((code === 'NOT_LOADED' || code === 'NOT_ACTIVE') && outcome.touched === 'no' && attempt.kind !== 'apply') gone(draft, target)
  // A look that came to no end (the gate was locked, a disk was full) says nothing of the kernel: it is looked again.
  else if (draft.rules.retryOf(code) !== 'never' && attempt.kind !== 'apply') lost(draft, target, reason)
  else if (draft.rules.retryOf(code) !== 'never') retry(draft, target, code, reason, touched)
  else draft.move(target, 'failed', reason, { touched, stall: null })
}

/** Out of contact after the kernel was touched: a failure signal that may yet turn out well (law 6). */
function lost(draft: Draft, target: TargetView, reason: ReturnType<typeof because>): void {
  const looks = target.state === 'lost' ? target.looks + 1 : 0
  if (looks >= lostLooksMax) { draft.move(target, 'failed', because('UNREACHABLE_AFTER_LOAD', `No contact after the load, ${looks} looks long. ${reason.says}`), { looks, touched: true }); return }
  const notBefore = draft.now + pauseMs(target.id, looks, draft.view.strategy.retry)
  draft.move(target, 'lost', because('LOST', `Out of contact after the load. ${reason.says}`), { looks, notBefore, touched: true })
  draft.wakeBy(notBefore)
}

export function retry(draft: Draft, target: TargetView, code: string, reason = because(code, draft.rules.sentenceOf(code)), touched = false): void {
  const { retry: limits } = draft.view.strategy
  if (target.tries >= limits.attemptsMax) { draft.move(target, 'failed', because(code, `Given up after ${target.tries} ${target.tries === 1 ? 'try' : 'tries'}. ${reason.says}`), { touched }); return }
  const notBefore = draft.now + pauseMs(target.id, Math.max(0, target.tries - 1), limits)
  draft.move(target, 'pending', because(code, `It is tried again. ${reason.says}`), { notBefore, touched })
  draft.wakeBy(notBefore)
}

/** Reverts are tried longer than loads: they are what makes a host safe again. */
export const revertTriesMax = 12

export function retryRevert(draft: Draft, target: TargetView, code: string): void {
  const looks = target.looks + 1
  if (looks >= revertTriesMax) { draft.move(target, 'failed', because('REVERT_FAILED', `The revert did not come to an end in ${looks} tries; the last ended with ${code}.`), { looks }); return }
  const notBefore = draft.now + pauseMs(target.id, looks, draft.view.strategy.retry)
  draft.decide({ do: 'note-target', targetId: target.id, set: { attemptUsed: true, looks, notBefore }, reason: because(code, `The revert is tried again. ${draft.rules.sentenceOf(code)}`) })
  draft.wakeBy(notBefore)
}
