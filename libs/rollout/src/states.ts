// What may happen, as data. The database's edge table, the API's refusals, the CLI's words and
// the dashboard's grey buttons all derive from these tables (DESIGN §4).

export type TargetState =
  | 'pending' | 'checking' | 'staging' | 'loading' | 'transitioning' | 'stalled' | 'patched' | 'baking' | 'succeeded'
  | 'reverting' | 'reverted' | 'failed' | 'lost' | 'skipped' | 'cancelled'
export type RolloutState =
  | 'draft' | 'awaiting-approval' | 'scheduled' | 'running' | 'held' | 'reverting'
  | 'succeeded' | 'failed' | 'reverted' | 'cancelled'
export type WaveState = 'pending' | 'running' | 'baking' | 'passed' | 'failed'
export type AttemptState = 'ordered' | 'running' | 'done' | 'abandoned'

/** state -> states it may move to. A pair that is absent is refused by the database as well. */
export type EdgeTable<S extends string> = Readonly<Record<S, readonly S[]>>

export const targetEdges: EdgeTable<TargetState> = {
  pending: ['checking', 'skipped', 'cancelled', 'reverting'],
  // Back to pending is a retry: the reason and the next try's time stand on the target.
  checking: ['staging', 'patched', 'transitioning', 'pending', 'skipped', 'failed', 'lost', 'reverting', 'cancelled'],
  // An attempt that resumes after a worker's death may find that an earlier load has taken hold after all.
  staging: ['loading', 'transitioning', 'patched', 'pending', 'failed', 'lost', 'reverting', 'cancelled'],
  loading: ['transitioning', 'patched', 'pending', 'failed', 'lost', 'reverting'],
  transitioning: ['stalled', 'patched', 'pending', 'failed', 'lost', 'reverting'],
  stalled: ['transitioning', 'patched', 'failed', 'lost', 'reverting', 'pending'],
  patched: ['baking', 'failed', 'lost', 'reverting'],
  baking: ['succeeded', 'failed', 'lost', 'reverting'],
  succeeded: ['reverting'],
  reverting: ['reverted', 'failed', 'lost', 'patched'],
  reverted: [],
  failed: ['reverting', 'pending'],
  lost: ['pending', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'failed'],
  skipped: ['pending'],
  cancelled: ['reverting'],
}

export const rolloutEdges: EdgeTable<RolloutState> = {
  draft: ['awaiting-approval', 'scheduled', 'cancelled'],
  'awaiting-approval': ['scheduled', 'cancelled'],
  scheduled: ['running', 'held', 'cancelled'],
  running: ['held', 'reverting', 'succeeded', 'failed', 'cancelled'],
  held: ['running', 'reverting', 'failed', 'cancelled'],
  reverting: ['reverted', 'failed', 'succeeded', 'held'],
  succeeded: ['reverting'],
  failed: ['reverting'],
  reverted: [],
  cancelled: ['reverting'],
}

export const waveEdges: EdgeTable<WaveState> = {
  pending: ['running'],
  running: ['baking', 'passed', 'failed'],
  baking: ['running', 'passed', 'failed'],
  passed: [],
  failed: ['running'],
}

export const attemptEdges: EdgeTable<AttemptState> = {
  ordered: ['running', 'abandoned'],
  running: ['done', 'abandoned'],
  done: [],
  abandoned: [],
}

export const edgeTables = {
  target: targetEdges, rollout: rolloutEdges, wave: waveEdges, attempt: attemptEdges,
} as const

/** What a target's state means to everybody who counts. */
export interface TargetMeaning {
  /** Nothing more will happen unless a person or a revert asks for it. */
  readonly settled: boolean
  /** It has been started and is not settled: it takes a place in "max in flight". */
  readonly inFlight: boolean
  /** It counts against the error threshold. */
  readonly counts: 'good' | 'bad' | 'none'
  readonly says: string
}

export const targetMeaning: Readonly<Record<TargetState, TargetMeaning>> = {
  pending: { settled: false, inFlight: false, counts: 'none', says: 'waits for its turn' },
  checking: { settled: false, inFlight: true, counts: 'none', says: 'is being checked' },
  staging: { settled: false, inFlight: true, counts: 'none', says: 'receives its build' },
  loading: { settled: false, inFlight: true, counts: 'none', says: 'loads its build' },
  transitioning: { settled: false, inFlight: true, counts: 'none', says: 'moves its tasks to the new code' },
  stalled: { settled: false, inFlight: true, counts: 'none', says: 'is held up by tasks that do not move' },
  patched: { settled: false, inFlight: true, counts: 'none', says: 'is patched, as the kernel says' },
  baking: { settled: false, inFlight: true, counts: 'none', says: 'is patched and watched' },
  succeeded: { settled: true, inFlight: false, counts: 'good', says: 'is patched and stayed well' },
  reverting: { settled: false, inFlight: true, counts: 'bad', says: 'goes back' },
  reverted: { settled: true, inFlight: false, counts: 'bad', says: 'went back' },
  failed: { settled: true, inFlight: false, counts: 'bad', says: 'failed' },
  lost: { settled: false, inFlight: true, counts: 'bad', says: 'is out of contact' },
  skipped: { settled: true, inFlight: false, counts: 'none', says: 'was left out' },
  cancelled: { settled: true, inFlight: false, counts: 'none', says: 'was cancelled' },
}

export type RolloutAct = 'start' | 'hold' | 'resume' | 'cancel' | 'revert'

/** An operator's act on a rollout: from which states, and where it leads. */
export const rolloutActs: Readonly<Record<RolloutAct, { from: readonly RolloutState[]; to: RolloutState }>> = {
  start: { from: ['draft', 'scheduled'], to: 'running' },
  hold: { from: ['scheduled', 'running'], to: 'held' },
  resume: { from: ['held'], to: 'running' },
  cancel: { from: ['draft', 'awaiting-approval', 'scheduled', 'running', 'held'], to: 'cancelled' },
  revert: { from: ['running', 'held', 'succeeded', 'failed', 'cancelled'], to: 'reverting' },
}

export const rolloutEnded: ReadonlySet<RolloutState> = new Set(['succeeded', 'failed', 'reverted', 'cancelled'])

/** May a thing in `from` move to `to`? */
export function mayMove<S extends string>(table: EdgeTable<S>, from: S, to: S): boolean {
  return table[from].includes(to)
}

/** Why an act is refused, or null when it is allowed. One sentence, for API, CLI and dashboard alike. */
export function whyNot(act: RolloutAct, state: RolloutState): string | null {
  const { from } = rolloutActs[act]
  return from.includes(state) ? null : `A rollout that is ${state} cannot be asked to ${act}; it must be ${from.join(' or ')}.`
}
