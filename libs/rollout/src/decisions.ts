// What plan() answers: data, applied by one commit (law 3).
import type { AttemptKind } from './outcome.js'
import type { RolloutState, TargetState, WaveState } from './states.js'
import type { StallAct } from './strategy.js'

/** A typed reason and its one sentence (law 8). `code` is stable and documented; `says` is for people. */
export interface Reason { readonly code: string; readonly says: string }

export type Decision =
  | { readonly do: 'move-rollout'; readonly to: RolloutState; readonly reason: Reason }
  | { readonly do: 'move-wave'; readonly waveId: string; readonly to: WaveState; readonly reason: Reason }
  /** This rollout starts no more of the build until a person resumes; its other builds go on. */
  | { readonly do: 'stop-build'; readonly buildId: string; readonly reason: Reason }
  /** No rollout starts any of the build's artefact until a person releases it (DESIGN §3, law 6). */
  | { readonly do: 'halt-artefact'; readonly buildId: string; readonly suspectId: string; readonly reason: Reason }
  | {
      readonly do: 'move-target'; readonly targetId: string; readonly from: TargetState; readonly to: TargetState
      readonly reason: Reason
      /** Fields set along with the state; absent = untouched. */
      readonly set?: TargetChange
    }
  /** Same state, changed fields (a stall act done, an outcome used up). */
  | { readonly do: 'note-target'; readonly targetId: string; readonly set: TargetChange; readonly reason: Reason }
  /** A new attempt. One open attempt per host, ever: the database refuses a second. */
  | { readonly do: 'order-attempt'; readonly targetId: string; readonly kind: AttemptKind; readonly reason: Reason; readonly set?: TargetChange }
  /** Every pending target without an open attempt is cancelled: one set-based write, one event with their number. */
  | { readonly do: 'cancel-pending'; readonly reason: Reason }
  /** The queue may have lost it: hand the same attempt id over again. */
  | { readonly do: 'ring-attempt'; readonly attemptId: string }
  /** Its worker is gone: the lease has expired. */
  | { readonly do: 'abandon-attempt'; readonly attemptId: string; readonly targetId: string; readonly reason: Reason }

export interface TargetChange {
  readonly notBefore?: number | null
  readonly bakeUntil?: number | null
  readonly tries?: number
  readonly looks?: number
  readonly touched?: boolean
  readonly stall?: { readonly since: number; readonly actsDone: readonly StallAct[]; readonly lastActAt: number } | null
  /** The newest attempt's outcome has been taken into account. */
  readonly attemptUsed?: boolean
}

export interface WaitingOn { readonly targetId: string; readonly reason: Reason }

export interface Plan {
  readonly decisions: readonly Decision[]
  /** One reason for every target of the view that was left alone. */
  readonly waitingOn: readonly WaitingOn[]
  /** Look again at this time even if nothing rings, milliseconds since the epoch; null when only a report can change something. */
  readonly wakeAt: number | null
}
