// Keeps this worker's leases alive, and stops every attempt whose lease is lost.
import type { Store } from '@uptide/store'

export class Leases {
  private readonly held = new Map<string, AbortController>()
  private readonly timer: NodeJS.Timeout
  private lastRenewed = Date.now()
  private busy = false

  constructor(private readonly store: Pick<Store, 'renewLeases'>, readonly owner: string, readonly leaseMs: number) {
    this.timer = setInterval(() => { void this.renew() }, Math.floor(leaseMs / 3))
    this.timer.unref()
  }

  /** The signal that says: stop, and do not talk to the host again. */
  hold(attemptId: string): AbortSignal {
    const stop = new AbortController()
    this.held.set(attemptId, stop)
    return stop.signal
  }

  release(attemptId: string): void { this.held.delete(attemptId) }

  private async renew(): Promise<void> {
    if (this.busy || this.held.size === 0) { if (this.held.size === 0) this.lastRenewed = Date.now(); return }
    this.busy = true
    const asked = [...this.held.keys()]
    try {
      const still = await this.store.renewLeases(this.owner, this.leaseMs)
      this.lastRenewed = Date.now()
      for (const id of asked) if (!still.has(id)) this.held.get(id)?.abort()
    } catch {
      // The database does not answer: after a whole lease nobody may believe that he still holds one.
      if (Date.now() - this.lastRenewed > this.leaseMs) for (const id of asked) this.held.get(id)?.abort()
    } finally { this.busy = false }
  }

  stop(): void { clearInterval(this.timer) }
}
