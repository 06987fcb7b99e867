// Many attempts' reports in one transaction: whatever came while the last commit was under way goes with the next.
import type { Report, Store } from '@uptide/store'

/** Reports of one transaction: 500 hosts' reports make statements of about 500 KB. */
const reportsMax = 500

interface Waiting { readonly report: Report; done(held: boolean): void; fail(error: unknown): void }

export class GroupCommit {
  private waiting: Waiting[] = []
  private busy: Promise<void> | null = null

  constructor(private readonly store: Pick<Store, 'commitReports'>, private readonly owner: string) {}

  /** Resolves when it is durable. False: fenced off, stop and leave the host alone. */
  write(report: Report): Promise<boolean> {
    return new Promise((done, fail) => {
      this.waiting.push({ report, done, fail })
      this.busy ??= this.drain()
    })
  }

  private async drain(): Promise<void> {
    // One turn of the loop lets reports that arrive together go together.
    await new Promise((done) => { setImmediate(done) })
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, reportsMax)
      try {
        const held = await this.store.commitReports(batch.map((one) => one.report), this.owner)
        batch.forEach((one, index) => { one.done(held[index] === true) })
      } catch (error) { for (const one of batch) one.fail(error) }
    }
    this.busy = null
  }
}
