// What an operator may say about how a rollout proceeds (DESIGN §7). 2 of 5 adds the rest beside these.

import type { Schedule } from './schedule.js'

/**
 * A wave's size: so many hosts, so many percent of the rollout's hosts, rounded up, or all that answer to a selector and
 * are in no wave before. Sizes are slices, not running totals.
 */
export type WaveSize =
  | { readonly kind: 'count'; readonly hosts: number }
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'selector'; readonly selector: string }

/** At most `max` hosts with the same value of a label are in flight at once: a rack, a zone, a cluster. */
export interface GroupLimit { readonly label: string; readonly max: number }

export type StallAct = 'wait' | 'nudge' | 'reverse'

/** Troubles with limits of their own. */
export type LimitKind = 'failed' | 'stalled' | 'lost'

/** At most so many hosts, or so many percent of the hosts attempted; the tighter one counts. */
export interface Limit {
  readonly max?: number
  readonly percent?: number
  /** A percentage is judged once so many hosts were attempted; 20 unless given. */
  readonly minSample?: number
}

export interface Strategy {
  /** Sizes of the waves after the canary; what remains after the last goes into one further wave. */
  readonly waves: readonly WaveSize[]
  /** Hosts of every build (kernel) that go first. At least 1: there is no rollout without a canary (law 4). */
  readonly canaryPerBuild: number
  /** Labels whose values the canary covers too, beside build and kernel: the roles hosts play. */
  readonly canaryLabels?: readonly string[]
  readonly inFlightMax: number
  /** Failure domains: limits on hosts in flight that share a label's value. */
  readonly groups?: readonly GroupLimit[]
  /** When hosts may start; absent: always. */
  readonly schedule?: Schedule
  /** So many people beside the author have to approve the plan before it starts; an approval is worth nothing after `expiresMs`. */
  readonly approvals?: { readonly needed: number; readonly expiresMs: number }
  /**
   * Between rollouts that want the same host, or places under the installation's limit: the higher goes first. 0 to 100,
   * 50 unless given.
   */
  readonly priority?: number
  /** Among rollouts of one priority: its part of the places under the installation's limit. 1 to 100, 1 unless given. */
  readonly weight?: number
  /** Hold when more than this many targets of the rollout went bad. Hosts already in flight can still add to them: see countInFlight. */
  readonly errorsMax: number
  /**
   * Count hosts in flight as possible failures before another starts: bad hosts and hosts on their way together then
   * never exceed errorsMax (or 1). Strict and slow, so absent means false; 2 of 5 makes budgets of it.
   */
  readonly countInFlight?: boolean
  /** Separate limits, beside errorsMax; what is absent has none of its own. Hosts of stopped builds do not count. */
  readonly limits?: Readonly<Partial<Record<LimitKind, Limit>>>
  /**
   * A build whose canary went bad stops, and builds for other kernels go on; with more stopped builds than this the whole
   * rollout is held. 1 unless given; 0: any stopped build holds everything.
   */
  readonly stoppedBuildsMax?: number
  /** How long a patched host is watched before it succeeds, milliseconds; at its end the kernel is asked once more. */
  readonly bakeMs: number
  /** While it is watched, the kernel is asked at these moments too, milliseconds after it was patched; those beyond bakeMs do not count. */
  readonly checkAtMs?: readonly number[]
  readonly stall: {
    /** A transition older than this is stalled, milliseconds. The kernel itself signals remaining tasks at about 15 s. */
    readonly afterMs: number
    /** Tried in this order at growing intervals; the last repeats only if it is `wait`. */
    readonly acts: readonly StallAct[]
    /** First interval between two acts, milliseconds; doubles up to `intervalMaxMs`. */
    readonly intervalMs: number
    readonly intervalMaxMs: number
    /** A stall older than this is a failure, after which `onGiveUp` is done, milliseconds. */
    readonly giveUpMs: number
    readonly onGiveUp: 'reverse' | 'hold'
  }
  readonly retry: { readonly attemptsMax: number; readonly firstMs: number; readonly maxMs: number }
  /** What a failed target means for its host, when its kernel was touched. */
  readonly onFailure: 'hold' | 'revert-wave' | 'revert-all'
}

/** Hosts with the same value of this label form a quorum: never two of them are in flight at once, in whichever rollouts. */
export const quorumLabel = 'quorum'

export const priorityDefault = 50

/** A plan that was approved a day ago was made for another fleet. */
export const approvalExpiresMs = 24 * 60 * 60_000

export const defaultStrategy: Strategy = {
  waves: [{ kind: 'percent', percent: 10 }, { kind: 'percent', percent: 40 }],
  canaryPerBuild: 1,
  inFlightMax: 50,
  errorsMax: 0,
  bakeMs: 10 * 60_000, // Nomad's min_healthy_time scaled to kernels (reference: at least 10 minutes)
  checkAtMs: [60_000, 5 * 60_000, 15 * 60_000],
  stall: { afterMs: 30_000, acts: ['wait', 'nudge', 'reverse'], intervalMs: 15_000, intervalMaxMs: 300_000, giveUpMs: 30 * 60_000, onGiveUp: 'reverse' },
  retry: { attemptsMax: 4, firstMs: 2_000, maxMs: 60_000 },
  onFailure: 'hold',
}
