// Waves in their order. Judged by committed counts only: a move of this same plan may yet be dropped.
import { targetMeaning, type TargetState } from '../states.js'
import type { WaveView } from '../view.js'
import { because, type Draft } from './draft.js'
import { countOf, countUnsettled, judge } from './threshold.js'

const stillAtWork = (state: TargetState): boolean => state !== 'patched' && state !== 'baking' && !targetMeaning[state].settled

export function advanceWaves(draft: Draft): void {
  const { view } = draft
  if (view.state !== 'running' && view.state !== 'held') return
  // The next wave does not wait for hosts whose build is stopped; once released, they go on where they are. So several
  // waves may have begun, and each is followed by itself; only the first that has not begun waits for those before it.
  let inTheWay = false
  for (const wave of view.waves) {
    if (wave.state === 'passed') continue
    if (wave.state === 'pending') {
      if (!inTheWay) beginWave(draft, wave)
      return
    }
    if (wave.state === 'failed') beginWave(draft, wave)
    else followWave(draft, wave)
    inTheWay ||= wave.state === 'failed' || wave.heldBack === 0 || countUnsettled(wave) > wave.heldBack
  }
}

function beginWave(draft: Draft, wave: WaveView): void {
  if (draft.view.state !== 'running') return
  const says = wave.state === 'failed' ? 'A person has accepted its errors; the wave goes on.'
    : wave.canary ? 'The canary starts.' : `Wave ${wave.index + 1} starts; the one before has passed${draft.view.waves.some((one) => one.heldBack > 0) ? ', but for hosts whose build is stopped' : ''}.`
  draft.decide({ do: 'move-wave', waveId: wave.id, to: 'running', reason: because('WAVE', says) })
}

function followWave(draft: Draft, wave: WaveView): void {
  if (countUnsettled(wave) === 0) {
    // Settled, but with more bad hosts than a person has accepted: it waits for `resume`.
    if (judge(draft).broken) return
    draft.decide({ do: 'move-wave', waveId: wave.id, to: 'passed', reason: because('WAVE_PASSED', 'Every host of it is settled and the threshold is kept.') })
    return
  }
  const watchingOnly = countOf(wave, stillAtWork) === wave.heldBack
  if (wave.state === 'running' && watchingOnly) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'baking', reason: because('WAVE_BAKING', 'All its hosts are patched and watched.') })
  else if (wave.state === 'baking' && !watchingOnly) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'running', reason: because('WAVE_RUNNING', 'A host of it has to be tried again.') })
}
