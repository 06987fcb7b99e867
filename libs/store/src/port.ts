// What the rest of Uptide may ask of the store. Questions live in views/, writes in commits/; every write
// carries its events in the same transaction (law 3). Ids are UUIDv7 strings. Times are milliseconds since
// the epoch by the database's clock unless a name says otherwise.
import type {
  AttemptKind, Outcome, Plan, Progress, RolloutState, RolloutView, Strategy, TargetState, TaskCount,
} from './types.js'

export interface EventInput {
  /** noun.verbed, e.g. `target.patched`, `rollout.held`, `host.enrolled`. */
  readonly kind: string
  readonly rolloutId?: string
  readonly hostId?: string
  readonly targetId?: string
  readonly data: Readonly<Record<string, unknown>>
}

/** Who did it: `token:NAME`, `reconcile`, `worker:NAME`. Recorded on every event. */
export type Principal = string

export interface ReconcileStore {
  now(): Promise<number>
  /** Rollouts that are not ended, or have open attempts: what the timer looks at. */
  liveRollouts(): Promise<string[]>
  loadRolloutView(rolloutId: string): Promise<RolloutView | null>
  /**
   * Applies a plan's decisions and their events in one transaction, guarded by the rollout's generation.
   * `committed: false` when another reconciler was first: load and plan again.
   * A target decision whose row has moved since is dropped and returned in `dropped` (it will be planned again).
   */
  commitPlan(view: RolloutView, plan: Plan, principal: Principal): Promise<{ committed: boolean; toRing: string[]; dropped: number }>
}

/** Everything a worker needs for one attempt; loaded by claim, never taken from the queue. */
export interface AttemptBrief {
  readonly attemptId: string
  readonly kind: AttemptKind
  readonly number: number
  readonly fencingToken: bigint
  readonly leaseUntil: number
  readonly target: { readonly id: string; readonly state: TargetState; readonly generation: number; readonly touched: boolean; readonly bootIdBefore: string | null; readonly loadedAt: number | null; readonly waveIndex: number }
  readonly rollout: { readonly id: string; readonly name: string; readonly strategy: Strategy }
  readonly host: {
    readonly id: string; readonly name: string; readonly address: string; readonly port: number; readonly user: string
    readonly gateMode: 'installed' | 'zero-install'; readonly hostKey: string; readonly credentialId: string
    readonly kernelRelease: string | null; readonly kernelBuildId: string | null; readonly taint: number | null
  }
  readonly build: {
    readonly id: string; readonly moduleName: string; readonly sha256: string; readonly sizeBytes: number
    readonly kernelRelease: string; readonly kernelBuildId: string | null; readonly srcversion: string | null; readonly moduleBuildId: string | null
    readonly objects: readonly { readonly name: string; readonly functions: readonly string[] }[]
  }
}

export type Claim =
  | { readonly ok: true; readonly brief: AttemptBrief }
  /** gone: not ordered any more. busy: the host's lease is held by another. held: a host may only begin while its rollout runs. */
  | { readonly ok: false; readonly why: 'gone' | 'busy' | 'held' | 'unknown-attempt' }

/** What a worker writes. Every row is fenced: attempt running, lease held with this token, not expired. */
export type Report =
  | { readonly at: 'phase'; readonly attemptId: string; readonly fencingToken: bigint; readonly to: TargetState; readonly step: string
      /** Set before a load is sent: from now on the kernel may hold our module. */
      readonly touched?: boolean; readonly bootId?: string }
  | { readonly at: 'end'; readonly attemptId: string; readonly fencingToken: bigint; readonly outcome: Outcome; readonly step: string; readonly facts?: HostFacts }

export interface HostFacts {
  readonly kernelRelease: string; readonly kernelBuildId: string | null; readonly arch: string; readonly bootId: string
  readonly mechanism: string; readonly features: Readonly<Record<string, string>>; readonly taint: number
  readonly loaded: readonly { readonly name: string; readonly state: string; readonly srcversion: string | null; readonly replace: string | null; readonly stackOrder: string | null }[]
}

export interface ExecuteStore {
  claimAttempt(attemptId: string, owner: string, leaseMs: number): Promise<Claim>
  /** Extends leases of one worker in one statement (all, or those of these attempts); returns attempt ids that are still held. */
  renewLeases(owner: string, leaseMs: number, attemptIds?: readonly string[] | null): Promise<Set<string>>
  /** Lets leases run out at once, of attempts that the worker hands back without a report. */
  releaseLeases(owner: string, attemptIds: readonly string[]): Promise<void>
  /** Group commit: many workers' reports in one transaction. `false` at an index = fenced off: stop, do not talk to the host again. */
  commitReports(reports: readonly Report[], owner: string): Promise<boolean[]>
  /** Last value and a compact curve only; no event. At most once a second per target. */
  noteProgress(rows: readonly { readonly targetId: string; readonly progress: Progress & { at: number } }[]): Promise<void>
  /** The artefact's bytes. Cached by the caller per sha256. */
  loadArtefact(sha256: string): Promise<Uint8Array | null>
  /** A sealed credential; unsealing needs the key, which is never in the database. */
  loadCredential(id: string): Promise<{ id: string; kind: 'ssh-key'; sealed: Uint8Array; keyVersion: number } | null>
}

export type { RolloutState, TaskCount }
