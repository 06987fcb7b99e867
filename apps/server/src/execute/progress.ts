// Progress of transitions: sampled, batched, shown live; losing it loses nothing.
import type { Progress } from '@uptide/livepatch'
import type { Store } from '@uptide/store'

/** At most one sample a second for each target (DESIGN §3). */
const flushMs = 1_000

export class ProgressSampler {
  private readonly latest = new Map<string, Progress & { at: number }>()
  private readonly timer: NodeJS.Timeout
  private busy = false

  constructor(private readonly store: Pick<Store, 'noteProgress'>) {
    this.timer = setInterval(() => { void this.flush() }, flushMs)
    this.timer.unref()
  }

  note(targetId: string, progress: Progress): void { this.latest.set(targetId, { ...progress, at: Date.now() }) }

  async flush(): Promise<void> {
    if (this.busy || this.latest.size === 0) return
    this.busy = true
    const rows = [...this.latest].map(([targetId, progress]) => ({ targetId, progress }))
    this.latest.clear()
    try { await this.store.noteProgress(rows) } catch { /* lost: the next second brings another */ } finally { this.busy = false }
  }

  stop(): void { clearInterval(this.timer) }
}
