// What an attempt brought home. Written by execute, read only by plan: a worker reports, reconcile decides (law 1).

export type AttemptKind =
  | 'apply'    // converge to the build being active; starts from what the kernel says, so it is safe to repeat
  | 'look'     // read only: is the transition over, is the host still well?
  | 'nudge'    // wake the blockers, then look
  | 'reverse'  // turn a running transition round; leaves a completed one alone
  | 'revert'   // undo: reverse or disable, then unload

/** A task that keeps a transition from ending. Everything in it came from the host: hostile text. */
export interface Blocker {
  readonly tid: number
  readonly pid: number
  readonly comm: string
  readonly kernelTask: boolean
  /** One letter as in /proc/PID/stat: R, S, D, T … */
  readonly state: string
  /** Function names with offsets, top first; no addresses. Empty when the kernel shows none. */
  readonly stack: readonly string[]
}

/** Tasks as /proc says. Idle tasks are not in /proc: `moved === all` with the transition still on is an idle CPU. */
export interface TaskCount { readonly moved: number; readonly all: number }

export interface Reading {
  /** What the kernel says of the module now. */
  readonly moduleState: string
  readonly bootId: string
  readonly kernelRelease: string
  readonly taint: number
  readonly loaded: readonly string[]
}

/**
 * Whether the failing attempt may have changed the kernel. `unknown` is handled as `yes`.
 */
export type Touched = 'no' | 'yes' | 'unknown'

export type Outcome =
  | { readonly kind: 'patched'; readonly reading: Reading; readonly transitionMs: number | null; readonly already: boolean }
  | { readonly kind: 'healthy'; readonly reading: Reading }
  | { readonly kind: 'unhealthy'; readonly reading: Reading; readonly code: string; readonly detail: string }
  | { readonly kind: 'stalled'; readonly reading: Reading; readonly tasks: TaskCount; readonly blockers: readonly Blocker[]; readonly transitionAgeMs: number }
  | { readonly kind: 'reverted'; readonly reading: Reading; readonly transitionMs: number | null; readonly already: boolean }
  | { readonly kind: 'skipped'; readonly code: string; readonly detail: string }
  | { readonly kind: 'failed'; readonly code: string; readonly detail: string; readonly touched: Touched }
  | { readonly kind: 'rebooted'; readonly bootIdBefore: string; readonly bootIdAfter: string; readonly touched: Touched }

export type OutcomeKind = Outcome['kind']
