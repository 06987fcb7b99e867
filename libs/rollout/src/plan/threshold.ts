// When too much went wrong: a build stops, or the whole rollout does, until a person has looked.
import { countIn, freshBadOf, isProvenHere, wasAttempted } from '../builds.js'
import { targetMeaning, type TargetState } from '../states.js'
import type { Strategy } from '../strategy.js'
import type { BuildView, WaveView } from '../view.js'
import { brokenLimit } from './limits.js'
import { because, type Draft } from './draft.js'

export const countOf = (wave: WaveView, pick: (state: TargetState) => boolean): number => countIn(wave.counts, pick)
export const countBad = (wave: WaveView): number => countOf(wave, (state) => targetMeaning[state].counts === 'bad')
export const countUnsettled = (wave: WaveView): number => countOf(wave, (state) => !targetMeaning[state].settled)

export interface Verdict { readonly broken: boolean; readonly says: string; readonly waves: readonly WaveView[] }

/** Builds that still count together. What a stopped build did was answered by stopping it. */
export const goingOn = (draft: Draft): BuildView[] => draft.view.builds.filter((build) => !draft.isStopped(build))

const sum = (builds: readonly BuildView[], count: (build: BuildView) => number): number => builds.reduce((total, build) => total + count(build), 0)

/** Bad hosts beyond those a person has accepted; with what this plan has just found, which is not committed yet. */
export const freshErrors = (draft: Draft): number => sum(goingOn(draft), (build) => freshBadOf(build) + draft.freshBadIn(build))

/** Errors that hosts in flight may use up when they are counted as possible failures. At least 1, or nothing ever starts. */
export const strictLimit = (strategy: Strategy): number => Math.max(1, Math.min(strategy.errorsMax, strategy.limits?.failed?.max ?? Infinity))

/** Until a later wave has begun, everything rests on the canary. */
const canaryStage = (draft: Draft): boolean => draft.view.waves.every((wave) => wave.canary || wave.state === 'pending')

/** While a build has nothing but its canary to show, its tolerance is 0, whatever the limit. */
export const toleratesNone = (draft: Draft, build: BuildView): boolean => !isProvenHere(build) || canaryStage(draft)

/** Bad hosts beyond those a person has accepted, against the limits. Committed counts only. */
export function judge(draft: Draft): Verdict {
  const { view } = draft
  const builds = goingOn(draft)
  const bad = sum(builds, (build) => countIn(build.counts, (state) => targetMeaning[state].counts === 'bad'))
  const forgiven = sum(builds, (build) => build.forgiven)
  const attempted = sum(builds, (build) => countIn(build.counts, wasAttempted))
  const limit = brokenLimit(view.strategy, builds)
  const broken = sum(builds, freshBadOf) > view.strategy.errorsMax || limit !== null
  const says = limit ?? `${bad} of ${attempted} attempted ${attempted === 1 ? 'host' : 'hosts'} went bad${forgiven > 0 ? ` (${forgiven} accepted)` : ''}; the limit is ${view.strategy.errorsMax}.`
  return { broken, says, waves: broken ? view.waves.filter((wave) => (wave.state === 'running' || wave.state === 'baking') && countBad(wave) > 0) : [] }
}

/** Stops builds, holds the rollout or turns it round when a threshold is broken. @returns true when nothing may start. */
export function enforceThreshold(draft: Draft): boolean {
  const { view } = draft
  if (view.state !== 'running' && view.state !== 'held') return false
  if (stopBuilds(draft)) return true
  if (view.state === 'held') return false
  const verdict = judge(draft)
  if (verdict.broken) { stop(draft, verdict); return true }
  if (draft.stallGivenUp !== null) {
    draft.decide({ do: 'move-rollout', to: 'held', reason: because('STALL_GIVEN_UP', `${draft.stallGivenUp} Nothing new starts until a person resumes.`) })
    return true
  }
  if (isUsedUp(draft, freshErrors(draft))) {
    draft.decide({ do: 'move-rollout', to: 'held', reason: because('ERRORS', `${verdict.says} One more start could exceed it; a person has to look.`) })
    return true
  }
  return freshErrors(draft) > view.strategy.errorsMax
}

/** Counting hosts in flight, nothing may start once every error is used up; nothing else would ever say so. */
const isUsedUp = ({ view }: Draft, fresh: number): boolean =>
  view.strategy.countInFlight === true && view.active.length === 0 && view.pending > 0 && fresh >= strictLimit(view.strategy)

/** Hosts of it that may yet move by themselves; those of a halted artefact that wait for their turn may not. */
const unsettled = (build: BuildView): number => countIn(build.counts, (state) => !targetMeaning[state].settled && !(build.halted && state === 'pending'))

/** More stopped builds than this make the patch itself the suspect, not one kernel. */
export const stoppedBuildsMaxDefault = 1

/** A build whose canary went bad stops alone; the rollout holds when that leaves nothing, or too many did. @returns true when it did so. */
function stopBuilds(draft: Draft): boolean {
  const { view } = draft
  for (const build of view.builds) {
    if (draft.isStopped(build) || freshBadOf(build) === 0 || !toleratesNone(draft, build)) continue
    if (view.state === 'running' && view.strategy.onFailure === 'revert-all') {
      draft.decide({ do: 'move-rollout', to: 'reverting', reason: because('ERRORS', `${canarySays(build)} Everything is reverted.`) })
      return true
    }
    const then = view.strategy.onFailure === 'revert-wave' ? 'Its hosts are reverted' : 'Its hosts wait for a person'
    draft.stopBuild(build, because('ERRORS', `${canarySays(build)} ${then}; builds for other kernels go on.`))
  }
  const stopped = view.builds.filter((build) => draft.isStopped(build))
  if (view.state !== 'running' || stopped.length === 0) return false
  const left = goingOn(draft).some((build) => unsettled(build) > 0)
  const tooMany = stopped.length > (view.strategy.stoppedBuildsMax ?? stoppedBuildsMaxDefault)
  if (left && !tooMany) return false
  const names = stopped.slice(0, 3).map((build) => build.kernel).join(', ') + (stopped.length > 3 ? ` and ${stopped.length - 3} more` : '')
  const why = tooMany ? `${stopped.length} builds are stopped (${names}), so the patch itself is the suspect.` : `The ${stopped.length === 1 ? 'build' : 'builds'} for ${names} ${stopped.length === 1 ? 'is' : 'are'} stopped, and nothing else is left to do.`
  draft.decide({ do: 'move-rollout', to: 'held', reason: because('ERRORS', `${why} Nothing new starts until a person resumes.`) })
  return true
}

function canarySays(build: BuildView): string {
  const bad = countIn(build.counts, (state) => targetMeaning[state].counts === 'bad')
  const attempted = countIn(build.counts, wasAttempted)
  return `${bad} of ${attempted} attempted ${attempted === 1 ? 'host' : 'hosts'} on ${build.kernel} went bad${build.forgiven > 0 ? ` (${build.forgiven} accepted)` : ''}; the limit is 0 in the canary.`
}

function stop(draft: Draft, { says, waves }: Verdict): void {
  const { onFailure } = draft.view.strategy
  if (onFailure === 'revert-all') {
    draft.decide({ do: 'move-rollout', to: 'reverting', reason: because('ERRORS', `${says} Everything is reverted.`) })
    return
  }
  draft.decide({ do: 'move-rollout', to: 'held', reason: because('ERRORS', `${says} Nothing new starts until a person resumes.`) })
  const then = onFailure === 'revert-wave' ? 'The wave is reverted.' : 'The wave waits for a person.'
  for (const wave of waves) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'failed', reason: because('ERRORS', `${says} ${then}`) })
}
