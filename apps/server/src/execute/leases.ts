// Keeps this worker's leases alive, and stops every attempt whose lease is lost.
import type { Store } from '@uptide/store'

export class Leases {
  private readonly held = new Map<string, AbortController>()
  private readonly timer: NodeJS.Timeout
  private readonly tickMs: number
  /** When the last renewal that succeeded was asked for: the database counted from then or later. */
  private renewedAt = performance.now()
  private busy = false

  constructor(private readonly store: Pick<Store, 'renewLeases' | 'releaseLeases'>, readonly owner: string, readonly leaseMs: number) {
    this.tickMs = Math.floor(leaseMs / 3)
    this.timer = setInterval(() => { this.tick() }, this.tickMs)
    this.timer.unref()
  }

  /** The signal that says: stop, and do not talk to the host again. */
  hold(attemptId: string): AbortSignal {
    // Nothing was renewed while nothing was held.
    if (this.held.size === 0) this.renewedAt = performance.now()
    const stop = new AbortController()
    this.held.set(attemptId, stop)
    return stop.signal
  }

  release(attemptId: string): void { this.held.delete(attemptId) }

  /** Lets the lease run out at once: nobody works on the host any more, and there is nothing to report. */
  async handBack(attemptId: string): Promise<void> {
    this.held.delete(attemptId)
    // When the database is away it runs out by itself, being renewed no more.
    await this.store.releaseLeases(this.owner, [attemptId]).catch(() => {})
  }

  private tick(): void {
    if (this.held.size === 0) return
    // Whatever keeps the answer away: by the next tick the lease may be another's, so the work stops at this one.
    if (performance.now() - this.renewedAt > this.leaseMs - this.tickMs) for (const stop of this.held.values()) stop.abort()
    if (!this.busy) void this.renew()
  }

  private async renew(): Promise<void> {
    this.busy = true
    const asked = [...this.held.keys()]
    const askedAt = performance.now()
    try {
      const still = await this.store.renewLeases(this.owner, this.leaseMs, asked)
      this.renewedAt = askedAt
      for (const id of asked) if (!still.has(id)) this.held.get(id)?.abort()
    } catch { /* The next tick tries again, until the lease is over. */ } finally { this.busy = false }
  }

  stop(): void { clearInterval(this.timer) }
}
