// What plan() is shown. Its size is bounded by what is in flight, never by the fleet (DESIGN §3).
import type { AttemptKind, Outcome } from './outcome.js'
import type { AttemptState, RolloutState, TargetState, WaveState } from './states.js'
import type { StallAct, Strategy } from './strategy.js'

/** Times are milliseconds since the epoch, from the database's clock. */
export interface AttemptView {
  readonly id: string
  readonly kind: AttemptKind
  readonly number: number
  readonly state: AttemptState
  readonly orderedAt: number
  /** When the attempt was last handed to the queue. */
  readonly rungAt: number
  /** True when the worker that ran it no longer holds the host's lease. */
  readonly leaseExpired: boolean
  /** Set when state is `done`. */
  readonly outcome: Outcome | null
}

export interface TargetView {
  readonly id: string
  readonly hostId: string
  readonly hostName: string
  readonly waveId: string
  readonly buildId: string | null
  readonly state: TargetState
  readonly generation: number
  /** How many `apply` tries were spent. */
  readonly tries: number
  /** When state last changed. */
  readonly since: number
  /** No attempt before this. */
  readonly notBefore: number | null
  /** The kernel may hold our module: a load was committed as intent and nothing proved its absence. */
  readonly touched: boolean
  readonly bootIdBefore: string | null
  readonly bakeUntil: number | null
  readonly stall: { readonly since: number; readonly actsDone: readonly StallAct[]; readonly lastActAt: number } | null
  /** Looks spent while lost. */
  readonly looks: number
  /** The newest attempt, open or ended. */
  readonly attempt: AttemptView | null
  /** True when a decision has already taken the newest attempt's outcome into account. */
  readonly attemptUsed: boolean
  /** Another rollout has an open attempt on the same host. */
  readonly hostBusy: boolean
}

export interface WaveView {
  readonly id: string
  readonly index: number
  readonly canary: boolean
  readonly state: WaveState
  readonly hosts: number
  /** How many targets of the wave are in each state; states with none may be absent. */
  readonly counts: Readonly<Partial<Record<TargetState, number>>>
}

export interface RolloutView {
  readonly id: string
  readonly kind: 'patch' | 'revert'
  readonly state: RolloutState
  readonly generation: number
  readonly strategy: Strategy
  /** Errors the operator has accepted by resuming; the threshold counts from here. */
  readonly errorsForgiven: number
  readonly waves: readonly WaveView[]
  /** Every target that is in flight or has an open attempt, and every one whose last outcome is not used yet. */
  readonly active: readonly TargetView[]
  /**
   * The next pending targets without an open attempt, of the first wave that is not passed, at most inFlightMax of
   * them: those that may be tried now first, then by name.
   */
  readonly candidates: readonly TargetView[]
  /**
   * The next settled targets whose host may still hold our module (touched, and succeeded, failed or cancelled, and its revert has not failed), at
   * most inFlightMax of them. Of the whole rollout while it is reverting; of its failed waves when the strategy says
   * `revert-wave`; else none.
   */
  readonly revertible: readonly TargetView[]
  /** Hosts whose revert failed: they may still hold our module, and nothing more is tried. */
  readonly unreverted: number
  /** Pending targets without an open attempt in the whole rollout. */
  readonly pending: number
}
