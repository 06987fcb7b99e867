// The error threshold: when too much went wrong, nothing new starts until a person has looked.
import { targetMeaning, type TargetState } from '../states.js'
import type { WaveView } from '../view.js'
import { because, type Draft } from './draft.js'

export const countBad = (wave: WaveView): number =>
  (Object.entries(wave.counts) as [TargetState, number][]).reduce((sum, [state, n]) => sum + (targetMeaning[state].counts === 'bad' ? n : 0), 0)

const countOf = (wave: WaveView, pick: (state: TargetState) => boolean): number =>
  (Object.entries(wave.counts) as [TargetState, number][]).reduce((sum, [state, n]) => sum + (pick(state) ? n : 0), 0)

export const countUnsettled = (wave: WaveView): number => countOf(wave, (state) => !targetMeaning[state].settled)

export interface Verdict { readonly broken: boolean; readonly says: string; readonly waves: readonly WaveView[] }

/** Bad hosts beyond those a person has accepted, against the limit; a canary's bad host always breaks it. */
export function judge(draft: Draft): Verdict {
  const { view } = draft
  const bad = view.waves.reduce((sum, wave) => sum + countBad(wave), 0)
  const fresh = Math.max(0, bad - view.errorsForgiven)
  const canaryBad = view.waves.filter((wave) => wave.canary).reduce((sum, wave) => sum + countBad(wave), 0)
  const attempted = view.waves.reduce((sum, wave) => sum + countOf(wave, (state) => state !== 'pending' && state !== 'skipped' && state !== 'cancelled'), 0)
  const inCanary = canaryBad > 0 && fresh > 0 && view.waves.every((wave) => wave.canary || wave.state === 'pending')
  const broken = fresh > view.strategy.errorsMax || inCanary
  const says = `${bad} of ${attempted} attempted hosts went bad${view.errorsForgiven > 0 ? ` (${view.errorsForgiven} accepted)` : ''}; the limit is ${inCanary ? '0 in the canary' : view.strategy.errorsMax}.`
  return { broken, says, waves: broken ? view.waves.filter((wave) => (wave.state === 'running' || wave.state === 'baking') && countBad(wave) > 0) : [] }
}

/** Holds or turns the rollout round when the threshold is broken. @returns true when it did. */
export function enforceThreshold(draft: Draft): boolean {
  if (draft.view.state !== 'running') return false
  const verdict = judge(draft)
  if (!verdict.broken) return false
  const { onFailure } = draft.view.strategy
  if (onFailure === 'revert-all') {
    draft.decide({ do: 'move-rollout', to: 'reverting', reason: because('ERRORS', `${verdict.says} Everything is reverted.`) })
    return true
  }
  draft.decide({ do: 'move-rollout', to: 'held', reason: because('ERRORS', `${verdict.says} Nothing new starts until a person resumes.`) })
  for (const wave of verdict.waves) {
    if (onFailure === 'revert-wave') draft.decide({ do: 'move-wave', waveId: wave.id, to: 'failed', reason: because('ERRORS', `${verdict.says} The wave is reverted.`) })
  }
  return true
}
