// Waves in their order, new starts within the budget, and the ends.
import { targetMeaning } from '../states.js'
import type { TargetView, WaveView } from '../view.js'
import { because, type Draft, isOpen } from './draft.js'
import { countUnsettled, judge } from './threshold.js'

/** Another rollout's attempt on the host is looked for again after this long. */
const busyAgainMs = 5_000

const unsettledInFlight = (wave: WaveView): boolean => countUnsettled(wave) > 0

/** Judged by committed counts only: a move of this same plan may yet be dropped. */
export function advanceWaves(draft: Draft): void {
  const { view } = draft
  if (view.state !== 'running' && view.state !== 'held') return
  for (const wave of view.waves) {
    if (wave.state === 'passed') continue
    if (wave.state === 'pending' || (wave.state === 'failed' && view.state === 'running')) {
      if (view.state !== 'running') return
      draft.decide({ do: 'move-wave', waveId: wave.id, to: 'running', reason: because('WAVE', wave.canary ? 'The canary starts.' : `Wave ${wave.index + 1} starts; the one before has passed.`) })
      return
    }
    if (wave.state === 'failed') return
    if (!unsettledInFlight(wave)) {
      // Settled, but with more bad hosts than a person has accepted: it waits for `resume`.
      if (judge(draft).broken) return
      draft.decide({ do: 'move-wave', waveId: wave.id, to: 'passed', reason: because('WAVE_PASSED', 'Every host of it is settled and the threshold is kept.') })
      return
    }
    const watchingOnly = Object.entries(wave.counts).every(([state, n]) => n === 0 || state === 'patched' || state === 'baking' || targetMeaning[state as keyof typeof targetMeaning].settled)
    if (wave.state === 'running' && watchingOnly) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'baking', reason: because('WAVE_BAKING', 'All its hosts are patched and watched.') })
    else if (wave.state === 'baking' && !watchingOnly) draft.decide({ do: 'move-wave', waveId: wave.id, to: 'running', reason: because('WAVE_RUNNING', 'A host of it has to be tried again.') })
    return
  }
}

export const inFlight = (draft: Draft): number => draft.view.active.filter((target) => targetMeaning[target.state].inFlight || isOpen(target)).length

export function startTargets(draft: Draft, stopped: boolean): void {
  const { view } = draft
  const wave = view.waves.find((one) => one.state !== 'passed')
  const room = (): number => view.strategy.inFlightMax - inFlight(draft) - draft.ordered
  // Attempts on targets already in flight were counted twice by `ordered`; being too careful costs one round.
  for (const target of view.candidates) {
    if (view.state === 'held' || stopped) draft.wait(target, because('held', 'The rollout is held; nothing new starts.'))
    else if (view.state !== 'running') draft.wait(target, because('not-running', `The rollout is ${view.state}.`))
    else if (!wave || wave.id !== target.waveId || (wave.state !== 'running' && wave.state !== 'baking')) draft.wait(target, because('wave', 'Its wave has not started.'))
    else if (target.notBefore !== null && target.notBefore > draft.now) draft.wait(target, because('retry-later', 'Its next try has its time.'), target.notBefore)
    else if (target.hostBusy) draft.wait(target, because('host-busy', 'Another rollout is at work on this host.'), draft.now + busyAgainMs)
    else if (room() <= 0) draft.wait(target, because('budget', `${view.strategy.inFlightMax} hosts are in flight, which is the limit.`))
    else startOne(draft, target)
  }
}

function startOne(draft: Draft, target: TargetView): void {
  const again = target.tries > 0
  draft.order(target, 'apply', because(again ? 'RETRY' : 'START', again ? `Try ${target.tries + 1}.` : 'Its turn has come.'), { tries: target.tries + 1, notBefore: null })
}

/** Settled hosts that still hold the module, while the rollout or their wave is being reverted. */
export function startReverts(draft: Draft): void {
  for (const target of draft.view.revertible) {
    if (draft.isDecided(target)) continue
    if (target.hostBusy) draft.wait(target, because('host-busy', 'Another rollout is at work on this host.'), draft.now + busyAgainMs)
    else draft.move(target, 'reverting', because('REVERT', 'The rollout takes its patch back.'), { looks: 0, notBefore: null })
  }
}

export function endRollout(draft: Draft): void {
  const { view } = draft
  const quiet = view.active.length === 0
  if (view.state === 'running' && quiet && view.waves.every((wave) => wave.state === 'passed')) {
    const bad = view.waves.reduce((sum, wave) => sum + (wave.counts.failed ?? 0) + (wave.counts.reverted ?? 0), 0)
    draft.decide({ do: 'move-rollout', to: 'succeeded', reason: because('DONE', bad === 0 ? 'Every wave has passed.' : `Every wave has passed; ${bad} hosts are not patched, within the limit.`) })
  }
  if (view.state === 'reverting' && quiet && view.revertible.length === 0 && view.pending === 0) {
    draft.decide(view.unreverted === 0
      ? { do: 'move-rollout', to: 'reverted', reason: because('REVERTED', 'No host holds the patch any more.') }
      : { do: 'move-rollout', to: 'failed', reason: because('REVERT_INCOMPLETE', `${view.unreverted} hosts could not be taken back; look at each of them.`) })
  }
}
