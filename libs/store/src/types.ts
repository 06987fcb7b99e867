// The words the store borrows from the rollout library, in one place.
export type { AttemptKind, Outcome, Plan, RolloutState, RolloutView, Strategy, TargetState, TaskCount } from '@uptide/rollout'

/** Tasks moved of all tasks at one moment of a transition. */
export interface Progress { readonly moved: number; readonly all: number; readonly transitionAgeMs: number }
