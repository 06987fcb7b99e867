// The queues, and how each is run. Payloads are ids: what they mean is read from Postgres (law 2).

export interface QueueWays {
  /** A worker that dies keeps its job this long; a bell that is stuck so long is rung by the sweep meanwhile. */
  readonly lockMs: number
  /** What a running job does when BullMQ has lost its lock (a flushed Redis, for one). */
  readonly onLockLost: 'cancel' | 'go-on'
  readonly concurrency: number
}

export const queueTable = {
  // Four rollouts are planned at once; more would only wait for the chain's one lock.
  reconcile: { lockMs: 10_000, onLockLost: 'cancel', concurrency: 4 },
  // The lease in Postgres says whose the host is, and the host itself checks the token: a lost lock means nothing here.
  execute: { lockMs: 30_000, onLockLost: 'go-on', concurrency: 500 },
} as const satisfies Readonly<Record<string, QueueWays>>

export type QueueName = keyof typeof queueTable
export const queueNames = Object.keys(queueTable) as QueueName[]

export interface Handlers {
  /** A rollout may have something to do. */
  reconcile(rolloutId: string, signal: AbortSignal): Promise<void>
  /** An attempt may be claimed. */
  execute(attemptId: string, signal: AbortSignal): Promise<void>
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** What a job's data has to be. Anything else was put there by somebody else. */
export const idOf = (data: unknown): string | null => {
  const id = typeof data === 'object' && data !== null && 'id' in data ? data.id : null
  return typeof id === 'string' && uuid.test(id) ? id : null
}
