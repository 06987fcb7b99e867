// What may start of a build. Live patches are built per kernel, so each build earns its way: one host of the whole fleet
// first, then the canary of each rollout, then the rest. One that harmed a host stops while the others go on.
import { targetMeaning, type TargetState } from './states.js'
import type { BuildView, Counts } from './view.js'

export const countIn = (counts: Counts, pick: (state: TargetState) => boolean): number =>
  (Object.entries(counts) as [TargetState, number][]).reduce((sum, [state, n]) => sum + (pick(state) ? n : 0), 0)

/** Hosts that have been started; the denominator of every limit. */
export const wasAttempted = (state: TargetState): boolean => state !== 'pending' && state !== 'skipped' && state !== 'cancelled'

/** Bad hosts of the build beyond those that a person has accepted. */
export const freshBadOf = (build: BuildView): number =>
  Math.max(0, countIn(build.counts, (state) => targetMeaning[state].counts === 'bad') - build.forgiven)

/** A host of this rollout has succeeded with it. */
export const isProvenHere = (build: BuildView): boolean => (build.counts.succeeded ?? 0) > 0

/**
 * How many hosts of this rollout may be on their way with the build at once: 0, 1, or no limit of its own (Infinity).
 * A canary that was skipped or out of reach has told nothing, so the first host of a later wave then stands for it.
 * @param canary whether the hosts asked about are of the canary wave.
 */
export function startLimit(build: BuildView, canary: boolean): number {
  if (build.stopped || build.halted) return 0
  if (!build.proven) return build.elsewhere > 0 ? 0 : 1
  return isProvenHere(build) || canary ? Infinity : 1
}
