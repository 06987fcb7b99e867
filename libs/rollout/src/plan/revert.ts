// Hosts in flight while the rollout, or their wave, is taken back.
import { targetMeaning, type TargetState } from '../states.js'
import type { TargetView } from '../view.js'
import { because, type Draft } from './draft.js'

/** A wave that has failed, and a build that was stopped, are taken back until a person resumes. */
export const takenBack = (draft: Draft, target: TargetView): boolean =>
  draft.view.state === 'reverting'
  || (draft.view.strategy.onFailure === 'revert-wave'
    && (Boolean(draft.buildOf(target)?.stopped) || (draft.view.state !== 'running' && draft.waveOf(target)?.state === 'failed')))

/** In flight and not on its way back yet. A lost host is looked for first. */
export const mustRevert = (draft: Draft, target: TargetView): boolean =>
  targetMeaning[target.state].inFlight && target.state !== 'reverting' && target.state !== 'lost' && takenBack(draft, target)

/** Nothing was sent to the kernel in these. */
const beforeLoad: ReadonlySet<TargetState> = new Set(['checking', 'staging'])

export function revertNow(draft: Draft, target: TargetView): void {
  if (!target.touched && beforeLoad.has(target.state)) { draft.move(target, 'cancelled', because('CANCELLED', 'The rollout is taken back; nothing was loaded here.')); return }
  draft.move(target, 'reverting', because('REVERT', 'The rollout takes its patch back.'), { looks: 0, notBefore: null, stall: null })
}
