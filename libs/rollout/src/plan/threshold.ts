// The error threshold: when too much went wrong, nothing new starts until a person has looked.
import { targetMeaning, type TargetState } from '../states.js'
import type { Strategy } from '../strategy.js'
import type { WaveView } from '../view.js'
import { because, type Draft } from './draft.js'

export const countOf = (wave: WaveView, pick: (state: TargetState) => boolean): number =>
  (Object.entries(wave.counts) as [TargetState, number][]).reduce((sum, [state, n]) => sum + (pick(state) ? n : 0), 0)

export const countBad = (wave: WaveView): number => countOf(wave, (state) => targetMeaning[state].counts === 'bad')
export const countUnsettled = (wave: WaveView): number => countOf(wave, (state) => !targetMeaning[state].settled)

const sum = (waves: readonly WaveView[], count: (wave: WaveView) => number): number => waves.reduce((total, wave) => total + count(wave), 0)

export interface Verdict { readonly broken: boolean; readonly says: string; readonly waves: readonly WaveView[] }

/** Bad hosts beyond those a person has accepted; with what this plan has just found, which is not committed yet. */
export const freshErrors = (draft: Draft): number => Math.max(0, sum(draft.view.waves, countBad) + draft.freshBad - draft.view.errorsForgiven)

/** Errors that hosts in flight may use up when they are counted as possible failures. At least 1, or nothing ever starts. */
export const strictLimit = (strategy: Strategy): number => Math.max(1, strategy.errorsMax)

/** Until a later wave has begun, everything rests on the canary: its tolerance is 0, whatever the limit. */
const canaryStage = (draft: Draft): boolean => draft.view.waves.every((wave) => wave.canary || wave.state === 'pending')

/** Bad hosts beyond those a person has accepted, against the limit; a canary's bad host always breaks it. Committed counts only. */
export function judge(draft: Draft): Verdict {
  const { view } = draft
  const bad = sum(view.waves, countBad)
  const fresh = Math.max(0, bad - view.errorsForgiven)
  const attempted = sum(view.waves, (wave) => countOf(wave, (state) => state !== 'pending' && state !== 'skipped' && state !== 'cancelled'))
  const inCanary = fresh > 0 && sum(view.waves.filter((wave) => wave.canary), countBad) > 0 && canaryStage(draft)
  const broken = fresh > view.strategy.errorsMax || inCanary
  const says = `${bad} of ${attempted} attempted ${attempted === 1 ? 'host' : 'hosts'} went bad${view.errorsForgiven > 0 ? ` (${view.errorsForgiven} accepted)` : ''}; the limit is ${inCanary ? '0 in the canary' : view.strategy.errorsMax}.`
  return { broken, says, waves: broken ? view.waves.filter((wave) => (wave.state === 'running' || wave.state === 'baking') && countBad(wave) > 0) : [] }
}

/** Would the threshold be broken once this plan's own findings are committed? Then nothing starts along with them. */
const aboutToBreak = (draft: Draft): boolean =>
  freshErrors(draft) > draft.view.strategy.errorsMax || (draft.freshBadCanary > 0 && canaryStage(draft))

/** Holds or turns the rollout round when the threshold is broken. @returns true when nothing may start. */
export function enforceThreshold(draft: Draft): boolean {
  if (draft.view.state !== 'running') return false
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
  return aboutToBreak(draft)
}

/** Counting hosts in flight, nothing may start once every error is used up; nothing else would ever say so. */
const isUsedUp = ({ view }: Draft, fresh: number): boolean =>
  view.strategy.countInFlight === true && view.active.length === 0 && view.pending > 0 && fresh >= strictLimit(view.strategy)

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
