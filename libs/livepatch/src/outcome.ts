// What a driver brings home. The same shapes as the planner's outcomes (libs/rollout), which this package may not
// import; fleet-sim asserts at compile time that each fits the other.

export interface Blocker {
  readonly tid: number
  readonly pid: number
  readonly comm: string
  readonly kernelTask: boolean
  readonly state: string
  readonly stack: readonly string[]
}

export interface TaskCount { readonly moved: number; readonly all: number }

export interface Reading {
  readonly moduleState: string
  readonly bootId: string
  readonly kernelRelease: string
  readonly taint: number
  readonly loaded: readonly string[]
}

export type Touched = 'no' | 'yes' | 'unknown'

export type KlpOutcome =
  | { readonly kind: 'patched'; readonly reading: Reading; readonly transitionMs: number | null; readonly already: boolean }
  | { readonly kind: 'healthy'; readonly reading: Reading }
  | { readonly kind: 'unhealthy'; readonly reading: Reading; readonly code: string; readonly detail: string }
  | { readonly kind: 'stalled'; readonly reading: Reading; readonly tasks: TaskCount; readonly blockers: readonly Blocker[]; readonly transitionAgeMs: number }
  | { readonly kind: 'reverted'; readonly reading: Reading; readonly transitionMs: number | null; readonly already: boolean }
  | { readonly kind: 'skipped'; readonly code: string; readonly detail: string }
  | { readonly kind: 'failed'; readonly code: string; readonly detail: string; readonly touched: Touched }
  | { readonly kind: 'rebooted'; readonly bootIdBefore: string; readonly bootIdAfter: string; readonly touched: Touched }
