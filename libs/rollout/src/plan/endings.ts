// How a rollout ends by itself.
import { because, type Draft } from './draft.js'
import { countOf } from './threshold.js'

export function endRollout(draft: Draft): void {
  const { view } = draft
  if (view.active.length > 0) return
  if (view.state === 'running' && view.waves.every((wave) => wave.state === 'passed') && !view.builds.some((build) => draft.isStopped(build))) {
    const bad = view.waves.reduce((sum, wave) => sum + countOf(wave, (state) => state === 'failed' || state === 'reverted'), 0)
    draft.decide({ do: 'move-rollout', to: 'succeeded', reason: because('DONE', bad === 0 ? 'Every wave has passed.' : `Every wave has passed; ${bad} ${bad === 1 ? 'host is' : 'hosts are'} not patched, within the limit.`) })
  }
  if (view.state === 'reverting' && view.revertible.length === 0 && view.pending === 0) {
    draft.decide(view.unreverted === 0
      ? { do: 'move-rollout', to: 'reverted', reason: because('REVERTED', 'No host holds the patch any more.') }
      : { do: 'move-rollout', to: 'failed', reason: because('REVERT_INCOMPLETE', `${view.unreverted} ${view.unreverted === 1 ? 'host' : 'hosts'} could not be taken back; look at each of them.`) })
  }
}
