// Who may begin now: the budget of hosts in flight, and everything that keeps a host from starting.
import type { Reason, TargetChange } from '../decisions.js'
import type { AttemptKind } from '../outcome.js'
import { targetMeaning } from '../states.js'
import type { TargetView } from '../view.js'
import { because, type Draft, isOpen } from './draft.js'
import { startLimit } from '../builds.js'
import { freshErrors, strictLimit, toleratesNone } from './threshold.js'

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
  const { strategy, room } = draft.view
  const own = strategy.inFlightMax - draft.inFlight
  const left = room === null ? Infinity : room - draft.inFlight
  const places = Math.min(own, left)
  const reason = left < own ? because('fleet-budget', 'Other rollouts have the places that the installation allows in flight.') : full(strategy.inFlightMax)
  if (strategy.countInFlight !== true) return { places, reason }
  const strict = strictLimit(strategy) - freshErrors(draft) - draft.view.active.filter(mayGoBad).length
  return strict < places ? { places: strict, reason: because('budget', 'The hosts on their way could use up all the errors that are allowed.') } : { places, reason }
}

/** Starts candidates while there is room. `stopped`: the threshold is broken. */
export function startTargets(draft: Draft, stopped: boolean): void {
  const { view } = draft
  // One set-based decision speaks for them.
  if (view.state === 'cancelled' || view.state === 'reverting') return
  const { places, reason } = roomOf(draft)
  let room = places
  for (const target of view.candidates) {
    const why = whyNotNow(draft, target, stopped) ?? (room <= 0 ? { reason, ...(draft.view.room === null ? {} : { until: draft.now + busyAgainMs }) } : null)
    if (why) { draft.wait(target, why.reason, why.until); continue }
    room -= 1
    const again = target.tries > 0
    draft.order(target, 'apply', because(again ? 'RETRY' : 'START', again ? `Try ${target.tries + 1}.` : 'Its turn has come.'), { tries: target.tries + 1, notBefore: null })
  }
}

/** Outside its windows a rollout starts nothing; what is in flight is followed to its end. */
export function closed({ view, now }: Draft): WhyNot | null {
  if (view.overrideUntil !== null && now < view.overrideUntil) return null
  if (view.window?.open === true || (view.window === null && !view.strategy.schedule)) return null
  const { changesAt = null, says = 'Its schedule was not worked out.' } = view.window ?? {}
  return { reason: because('window', says), ...(changesAt === null ? {} : { until: changesAt }) }
}

interface WhyNot { readonly reason: Reason; readonly until?: number }

function whyNotNow(draft: Draft, target: TargetView, stopped: boolean): WhyNot | null {
  const { view, now } = draft
  const wave = draft.waveOf(target)
  if (view.state === 'held') return { reason: because('held', 'The rollout is held; nothing new starts.') }
  if (stopped) return { reason: because('threshold', 'Too many hosts went bad; nothing new starts until a person has looked.') }
  if (view.state !== 'running') return { reason: because('not-running', `The rollout is ${view.state}.`) }
  if (!wave || (wave.state !== 'running' && wave.state !== 'baking')) return { reason: because('wave', 'Its wave has not started.') }
  const shut = closed(draft)
  if (shut) return shut
  const held = whyNotBuild(draft, target, wave.canary)
  if (held) return held
  if (target.notBefore !== null && target.notBefore > now) return { reason: because('retry-later', 'Its next try has its time.'), until: target.notBefore }
  return target.hostBusy ? { reason: hostBusy, until: now + busyAgainMs } : whyNotBeside(draft, target)
}

/** What shares a rack, a quorum or a host with others waits for them. */
function whyNotBeside(draft: Draft, target: TargetView): WhyNot | null {
  const until = draft.now + busyAgainMs
  if (target.outrankedBy !== null) return { reason: because('priority', `Rollout ${target.outrankedBy} has a higher priority and wants this host first.`), until }
  if (target.quorumBusy) return { reason: because('quorum', `Another rollout is at work on a host of the quorum ${target.quorum ?? ''}; never two are in flight.`), until }
  if (target.quorum !== null && draft.inFlightOfQuorum(target.quorum) > 0) return { reason: because('quorum', `Another host of the quorum ${target.quorum} is in flight; never two are.`) }
  for (const { label, max } of draft.view.strategy.groups ?? []) {
    const group = target.groups.find((one) => one.startsWith(`${label}=`))
    if (group !== undefined && draft.inFlightIn(group) >= max) return { reason: because('group', `${max} ${max === 1 ? 'host' : 'hosts'} of ${group} ${max === 1 ? 'is' : 'are'} in flight, which is the limit.`) }
  }
  return null
}

function whyNotBuild(draft: Draft, target: TargetView, canary: boolean): WhyNot | null {
  const build = draft.buildOf(target)
  if (!build) return null
  if (build.halted) return { reason: because('artefact-halted', `Its build starts nowhere until a person releases it. ${build.halted.says}`) }
  if (build.stopped) return { reason: because('build-stopped', `Its build is stopped until a person resumes. ${build.stopped.says}`) }
  if (draft.isStopped(build) || (draft.freshBadIn(build) > 0 && toleratesNone(draft, build))) return { reason: because('build-stopped', `A host on ${build.kernel} went bad, and none may in the canary.`) }
  if (draft.inFlightOf(build) < startLimit(build, canary)) return null
  if (build.elsewhere > 0) return { reason: because('first-use', `Another rollout tries the build for ${build.kernel} on its first host.`), until: draft.now + busyAgainMs }
  return { reason: because('first-use', build.proven ? `No host on ${build.kernel} has succeeded in this rollout yet; until then they go one at a time.` : `The build for ${build.kernel} has succeeded nowhere yet; until then one host goes at a time.`) }
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
