// Who may begin now: the budget of hosts in flight, and everything that keeps a host from starting.
import type { Reason, TargetChange } from '../decisions.js'
import type { AttemptKind } from '../outcome.js'
import { targetMeaning } from '../states.js'
import type { TargetView, WaveView } from '../view.js'
import { because, type Draft, isOpen } from './draft.js'
import { freshErrors, strictLimit } from './threshold.js'

/** Another rollout's attempt on the host is looked for again after this long. */
export const busyAgainMs = 5_000

const hostBusy = because('host-busy', 'Another rollout is at work on this host.')
const full = (max: number): Reason => because('budget', `${max} hosts are in flight, which is the limit.`)

/** The next attempt at a host that is in flight already. An operator may have asked for more reverts than may run at once. */
export function orderNext(draft: Draft, target: TargetView, kind: AttemptKind, reason: Reason, set?: TargetChange): void {
  const { inFlightMax } = draft.view.strategy
  if (target.hostBusy) draft.wait(target, hostBusy, draft.now + busyAgainMs)
  else if (draft.open >= inFlightMax) draft.wait(target, full(inFlightMax))
  else draft.order(target, kind, reason, set)
}

// Started, and the kernel has not said yet that it is patched: it may still go bad.
const mayGoBad = (target: TargetView): boolean => {
  const { inFlight, counts } = targetMeaning[target.state]
  return (inFlight && counts === 'none' && target.state !== 'patched' && target.state !== 'baking') || (target.state === 'pending' && isOpen(target))
}

/**
 * Places for new starts. With `countInFlight` every host that may still go bad takes one of the errors allowed, so
 * that what is running can never break the limit; with a limit of 0 that is one host at a time.
 */
function roomOf(draft: Draft): { readonly places: number; readonly reason: Reason } {
  const { strategy } = draft.view
  const places = strategy.inFlightMax - draft.inFlight
  const reason = full(strategy.inFlightMax)
  if (strategy.countInFlight !== true) return { places, reason }
  const strict = strictLimit(strategy) - freshErrors(draft) - draft.view.active.filter(mayGoBad).length
  return strict < places ? { places: strict, reason: because('budget', 'The hosts on their way could use up all the errors that are allowed.') } : { places, reason }
}

/** Starts candidates while there is room. `stopped`: the threshold is broken. */
export function startTargets(draft: Draft, stopped: boolean): void {
  const { view } = draft
  // One set-based decision speaks for them.
  if (view.state === 'cancelled' || view.state === 'reverting') return
  const wave = view.waves.find((one) => one.state !== 'passed')
  const { places, reason } = roomOf(draft)
  let room = places
  for (const target of view.candidates) {
    const why = whyNotNow(draft, target, wave, stopped) ?? (room <= 0 ? { reason } : null)
    if (why) { draft.wait(target, why.reason, why.until); continue }
    room -= 1
    const again = target.tries > 0
    draft.order(target, 'apply', because(again ? 'RETRY' : 'START', again ? `Try ${target.tries + 1}.` : 'Its turn has come.'), { tries: target.tries + 1, notBefore: null })
  }
}

interface WhyNot { readonly reason: Reason; readonly until?: number }

function whyNotNow(draft: Draft, target: TargetView, wave: WaveView | undefined, stopped: boolean): WhyNot | null {
  const { view, now } = draft
  if (view.state === 'held') return { reason: because('held', 'The rollout is held; nothing new starts.') }
  if (stopped) return { reason: because('threshold', 'Too many hosts went bad; nothing new starts until a person has looked.') }
  if (view.state !== 'running') return { reason: because('not-running', `The rollout is ${view.state}.`) }
  if (!wave || wave.id !== target.waveId || (wave.state !== 'running' && wave.state !== 'baking')) return { reason: because('wave', 'Its wave has not started.') }
  if (target.notBefore !== null && target.notBefore > now) return { reason: because('retry-later', 'Its next try has its time.'), until: target.notBefore }
  return target.hostBusy ? { reason: hostBusy, until: now + busyAgainMs } : null
}

/** Settled hosts that still hold the module, while the rollout or their wave is taken back: as many as have room. */
export function startReverts(draft: Draft): void {
  const { inFlightMax } = draft.view.strategy
  for (const target of draft.view.revertible) {
    if (draft.isDecided(target)) continue
    if (target.hostBusy) draft.wait(target, hostBusy, draft.now + busyAgainMs)
    else if (draft.inFlight >= inFlightMax) draft.wait(target, full(inFlightMax))
    else draft.move(target, 'reverting', because('REVERT', 'The rollout takes its patch back.'), { looks: 0, notBefore: null, stall: null })
  }
}
