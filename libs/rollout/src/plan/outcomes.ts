// What an attempt brought home becomes the target's next state: one table, by outcome.
import type { Reason } from '../decisions.js'
import type { Outcome } from '../outcome.js'
import { targetMeaning } from '../states.js'
import type { AttemptView, TargetView } from '../view.js'
import { nextCheckAt } from './bake.js'
import { because, type Draft } from './draft.js'
import { lookAgain, lost, retry, retryRevert } from './retry.js'
import { stalledOnTheWayBack } from './stalled.js'

type Taken = { readonly draft: Draft; readonly target: TargetView; readonly attempt: AttemptView }
type Take<K extends Outcome['kind']> = (at: Taken, outcome: Extract<Outcome, { kind: K }>) => void

const healthy = because('HEALTHY', 'The kernel says it is patched, and the host stayed well while it was watched.')
const back = because('BACK', 'The host is back, still patched.')

const nextLook = (draft: Draft, bakeUntil: number): number => Math.max(draft.now, nextCheckAt(draft.view.strategy, bakeUntil, draft.now))

/** Well at a check: it is watched on; well at the end of its bake: it has succeeded. */
function stayedWell(draft: Draft, target: TargetView): void {
  const { bakeUntil } = target
  if (bakeUntil === null || bakeUntil <= draft.now) { draft.move(target, 'succeeded', healthy); return }
  const notBefore = nextLook(draft, bakeUntil)
  draft.note(target, because('CHECKED', 'The kernel was asked while the host is watched; all is well.'), { notBefore, looks: 0 })
  draft.wakeBy(notBefore)
}

const table: { readonly [K in Outcome['kind']]: Take<K> } = {
  patched: ({ draft, target, attempt }, outcome) => {
    // A revert that finds the patch active has not worked; a reverse that came too late leaves a good patch alone.
    if (target.state === 'reverting' && attempt.kind === 'revert') { retryRevert(draft, target, 'STILL_ACTIVE'); return }
    if (target.state === 'baking') { stayedWell(draft, target); return }
    if (target.state === 'lost' && target.bakeUntil !== null) { draft.move(target, 'baking', back, { touched: true, notBefore: nextLook(draft, target.bakeUntil) }); return }
    const took = outcome.transitionMs === null ? '' : ` The transition took ${outcome.transitionMs} ms.`
    draft.move(target, 'patched', because(outcome.already ? 'ALREADY_PATCHED' : 'PATCHED', outcome.already ? 'The kernel had this build active already.' : `The kernel says the transition is complete.${took}`), { touched: true, stall: null })
  },
  healthy: ({ draft, target }) => {
    if (target.state === 'baking') stayedWell(draft, target)
    else if (target.state === 'lost' && target.bakeUntil !== null) draft.move(target, 'baking', back, { notBefore: nextLook(draft, target.bakeUntil) })
    else draft.move(target, 'patched', because('PATCHED', 'The kernel says the transition is complete.'), { touched: true, stall: null })
  },
  unhealthy: ({ draft, target }, outcome) => {
    if (draft.rules.isHarm(outcome.code)) draft.halt(target, because(outcome.code, `${target.hostName}: ${sentence(draft, outcome).says}`))
    draft.move(target, 'failed', sentence(draft, outcome), { stall: null })
  },
  stalled: (at, outcome) => { stalled(at, outcome) },
  reverted: ({ draft, target, attempt }) => {
    if (target.state !== 'reverting') { gone(draft, target); return }
    draft.move(target, 'reverted', attempt.kind === 'reverse'
      ? because('REVERSED', 'The transition was turned round; the host runs its former code.')
      : because('REVERTED', 'The patch was disabled and unloaded.'), { touched: false, stall: null })
  },
  skipped: ({ draft, target }, outcome) => {
    draft.move(target, (target.state === 'pending' || target.state === 'checking') && !target.touched ? 'skipped' : 'failed', sentence(draft, outcome), { stall: null })
  },
  failed: ({ draft, target, attempt }, outcome) => { failed(draft, target, attempt, outcome) },
  rebooted: ({ draft, target }, outcome) => {
    if (target.state === 'reverting') draft.move(target, 'reverted', because('REBOOTED', 'The host rebooted while it was being reverted; its new kernel does not hold the patch.'), { touched: false, stall: null })
    else if (outcome.touched === 'no' && !target.touched) retry(draft, target, 'REBOOTED', because('REBOOTED', 'The host rebooted before anything was loaded.'))
    else {
      draft.halt(target, because('REBOOTED', `${target.hostName} rebooted after our module was loaded.`))
      draft.move(target, 'failed', because('REBOOTED', 'The host rebooted after our module was loaded.'), { touched: false, stall: null })
    }
  },
}

const sentence = (draft: Draft, { code, detail }: { readonly code: string; readonly detail: string }): Reason => 
  because(code, detail === '' ? draft.rules.sentenceOf(code) : `${draft.rules.sentenceOf(code).replace(/\.$/, '')} (${detail.slice(0, 300)}).`)

/** Moves the target by the outcome of its newest attempt. An outcome for a target that is settled by now changes nothing. */
export function takeOutcome(draft: Draft, target: TargetView, attempt: AttemptView, outcome: Outcome): void {
  if (targetMeaning[target.state].settled) { draft.note(target, because('OUTCOME_LATE', `Its ${attempt.kind} ended after it was settled.`)); return }
  if (bootChanged(target, outcome)) {
    if (target.state !== 'reverting') draft.halt(target, because('REBOOTED', `${target.hostName} runs another boot than the one that was patched.`))
    draft.move(target, target.state === 'reverting' ? 'reverting' : 'failed', because('REBOOTED', 'The host runs another boot than the one that was patched.'), { touched: true, stall: null })
    return
  }
  ;(table[outcome.kind] as Take<typeof outcome.kind>)({ draft, target, attempt }, outcome as never)
}

/** Law 6 does not rest on a worker alone: what a kernel says counts only for the boot that was patched. */
const bootChanged = (target: TargetView, outcome: Outcome): boolean =>
  (outcome.kind === 'patched' || outcome.kind === 'healthy' || outcome.kind === 'stalled') && target.touched && target.bootIdBefore !== null && outcome.reading.bootId !== target.bootIdBefore

function stalled({ draft, target }: Taken, outcome: Extract<Outcome, { kind: 'stalled' }>): void {
  const { tasks, blockers } = outcome
  const says = tasks.moved >= tasks.all && blockers.length === 0
    ? `All ${tasks.all} tasks have moved; an idle CPU has not passed its idle loop yet.`
    : `${tasks.all - tasks.moved} of ${tasks.all} tasks do not move: ${[...new Set(blockers.map((one) => one.comm))].slice(0, 5).join(', ') || 'unknown'}.`
  if (target.state === 'reverting') { stalledOnTheWayBack(draft, target, says); return }
  // It was complete: a transition now is somebody else's doing.
  if (target.state === 'patched' || target.state === 'baking' || target.bakeUntil !== null) {
    draft.move(target, 'failed', because('NOT_ACTIVE', `The kernel had it active and is in transition again. ${says}`), { touched: true, stall: null })
    return
  }
  const ageMs = Number.isFinite(outcome.transitionAgeMs) ? Math.max(0, outcome.transitionAgeMs) : 0
  draft.move(target, 'stalled', because('STALLED', says), { touched: true, looks: 0, stall: target.stall ?? { since: draft.now - ageMs, actsDone: [], lastActAt: draft.now } })
}

/** The module is not there although it was: somebody else undid it, or the load never happened. */
function gone(draft: Draft, target: TargetView): void {
  if (target.state === 'lost' && target.bakeUntil === null) retry(draft, target, 'NOT_LOADED', because('NOT_LOADED', 'The host is back and does not hold our module.'))
  else draft.move(target, 'failed', because('MODULE_GONE', 'Our module is not on the host any more; somebody else unloaded it.'), { touched: false, stall: null })
}

const looking: ReadonlySet<AttemptView['kind']> = new Set(['look', 'nudge'])

function failed(draft: Draft, target: TargetView, attempt: AttemptView, outcome: Extract<Outcome, { kind: 'failed' }>): void {
  const { code } = outcome
  const reason = sentence(draft, outcome)
  const touched = target.touched || outcome.touched !== 'no'
  const contact = draft.rules.isContact(code)
  const again = contact || draft.rules.retryOf(code) !== 'never'
  if (target.state === 'reverting') {
    if (again) retryRevert(draft, target, code)
    else draft.move(target, 'failed', because('REVERT_FAILED', `The revert failed. ${reason.says}`), { touched, stall: null })
  } else if ((contact && touched) || (again && target.state === 'lost')) lost(draft, target, reason)
  else if ((code === 'NOT_LOADED' || code === 'NOT_ACTIVE') && outcome.touched === 'no' && attempt.kind !== 'apply') gone(draft, target)
  else if (again && looking.has(attempt.kind)) lookAgain(draft, target, reason)
  else if (again) retry(draft, target, code, reason, touched)
  else draft.move(target, 'failed', reason, { touched, stall: null })
}
