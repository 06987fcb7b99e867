// What plan() is shown. Its size is bounded by what is in flight, never by the fleet (DESIGN §3).
import type { AttemptKind, Outcome } from './outcome.js'
import type { WindowState } from './schedule.js'
import type { AttemptState, RolloutState, TargetState, WaveState } from './states.js'
import type { Reason } from './decisions.js'
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
  /** `label=value` of every group that the strategy paces by. */
  readonly groups: readonly string[]
  /** The quorum the host is of; null: none. */
  readonly quorum: string | null
  /** A host of the same quorum is in flight in another rollout. */
  readonly quorumBusy: boolean
  /** The name of a running rollout of higher priority that wants this host too; null: none. */
  readonly outrankedBy: string | null
}

export interface WaveView {
  readonly id: string
  readonly index: number
  readonly canary: boolean
  readonly state: WaveState
  readonly hosts: number
  /** How many targets of the wave are in each state; states with none may be absent. */
  readonly counts: Counts
  /** Its pending targets without an open attempt whose build is stopped or halted: the next wave does not wait for them. */
  readonly heldBack: number
}

export type Counts = Readonly<Partial<Record<TargetState, number>>>

/** A build that hosts of the rollout need, and what is known of it. Live patches are built per kernel: each is a risk of its own. */
export interface BuildView {
  readonly id: string
  /** The kernel release it is for; sentences name it. */
  readonly kernel: string
  /** Some host of the fleet has succeeded with it, in whichever rollout. */
  readonly proven: boolean
  /** Hosts on their way with it in other rollouts; counted only while it is not proven. */
  readonly elsewhere: number
  /** How many targets of this rollout with this build are in each state; states with none may be absent. */
  readonly counts: Counts
  /** Its bad hosts that a person has accepted by resuming. */
  readonly forgiven: number
  /** Why this rollout starts no more of it, until a person resumes; null: it does. */
  readonly stopped: Reason | null
  /** Why no rollout starts any of its artefact, until a person releases it; null: they do. */
  readonly halted: Reason | null
}

export interface RolloutView {
  readonly id: string
  readonly kind: 'patch' | 'revert'
  readonly state: RolloutState
  readonly generation: number
  readonly strategy: Strategy
  readonly waves: readonly WaveView[]
  /** Every build of the rollout, by kernel. */
  readonly builds: readonly BuildView[]
  /** Every target that is in flight or has an open attempt, and every one whose last outcome is not used yet. */
  readonly active: readonly TargetView[]
  /**
   * The next pending targets without an open attempt, of the waves that have begun (else of the first that has not): at
   * most inFlightMax of those whose build may start, those that may be tried now first, then by wave and name; after them one of
   * each build that may not start now, so that it says why. Of a build with a start limit there is one at most.
   */
  readonly candidates: readonly TargetView[]
  /**
   * The next settled targets whose host may still hold our module (touched, and succeeded, failed or cancelled, and its revert has not failed), at
   * most inFlightMax of them. Of the whole rollout while it is reverting; of its failed waves and stopped builds when the
   * strategy says `revert-wave`; else none.
   */
  readonly revertible: readonly TargetView[]
  /** Hosts whose revert failed: they may still hold our module, and nothing more is tried. */
  readonly unreverted: number
  /** Two people let it go on outside its windows until then, milliseconds since the epoch; null: nobody did. */
  readonly overrideUntil: number | null
  /** What the strategy's schedule comes to now; null: it has none, or nobody worked it out, and then nothing starts. */
  readonly window: WindowState | null
  /** Places that other rollouts leave under the installation's limit, for this one's hosts in flight; null: no such limit. */
  readonly room: number | null
  /** Pending targets without an open attempt in the whole rollout. */
  readonly pending: number
}
