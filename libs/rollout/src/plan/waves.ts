// Waves in their order. Judged by committed counts only: a move of this same plan may yet be dropped.
import { targetMeaning, type TargetState } from '../states.js'
import type { WaveView } from '../view.js'
import { because, type Draft } from './draft.js'
import { countOf, countUnsettled, judge } from './threshold.js'

const stillAtWork = (state: TargetState): boolean => state !== 'patched' && state !== 'baking' && !targetMeaning[state].settled

export function advanceWaves(draft: Draft): void {
  const { view } = draft
  if (view.state !== 'running' && view.state !== 'held') return
  const wave = view.waves.find((one) => one.state !== 'passed')
  if (!wave) return
  if (wave.state === 'pending' || wave.state === 'failed') beginWave(draft, wave)
  else followWave(draft, wave)
}

function beginWave(draft: Draft, wave: WaveView): void {
  if (draft.view.state !== 'running') return
  const says = wave.state === 'failed' ? 'A person has accepted its errors; the wave goes on.'
    : wave.canary ? 'The canary starts.' : `Wave ${wave.index + 1} starts; the one before has passed.`
  draft.decide({ do: 'move-wave', waveId: wave.id, to: 'running', reason: because('WAVE', says) })
}

function followWave(draft: Draft, wave: WaveView): void {
  if (countUnsettled(wave) === 0) {
    // Settled, but with more bad hosts than a person has accepted: it waits for `resume`.
    if (judge(draft).broken) return
    draft.decide({ do: 'move-wave', waveId: wave.id, to: 'passed', reason: because('WAVE_PASSED', 'Every host of it is settled and the threshold is kept.') })
    return
  }
  const watchingOnly = countOf(wave, stillAtWork) === 0
  if (wave.state === 'running' && watchingOnly) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'baking', reason: because('WAVE_BAKING', 'All its hosts are patched and watched.') })
  else if (wave.state === 'baking' && !watchingOnly) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'running', reason: because('WAVE_RUNNING', 'A host of it has to be tried again.') })
}
