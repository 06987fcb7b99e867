// The two queues. Payloads are ids: what they mean is read from Postgres (law 2).

export const queueNames = { reconcile: 'reconcile', execute: 'execute' } as const
export type QueueName = keyof typeof queueNames

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
