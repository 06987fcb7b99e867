// Many attempts' reports in one transaction: whatever came while the last commit was under way goes with the next.
import type { Report, Store } from '@uptide/store'

/** Reports of one transaction: 500 hosts' reports make statements of about 500 KB. */
const reportsMax = 500

interface Waiting { readonly report: Report; done(held: boolean): void; fail(error: unknown): void }

export class GroupCommit {
  private waiting: Waiting[] = []
  private busy: Promise<void> | null = null

  constructor(private readonly store: Pick<Store, 'commitReports'>, private readonly owner: string) {}

  /** Resolves when it is durable. False: fenced off, stop and leave the host alone. Rejects when the database is away. */
  write(report: Report): Promise<boolean> {
    return new Promise((done, fail) => {
      this.waiting.push({ report, done, fail })
      this.busy ??= this.drain()
    })
  }

  private async drain(): Promise<void> {
    // One turn of the loop lets reports that arrive together go together.
    await new Promise((done) => { setImmediate(done) })
    while (this.waiting.length > 0) await this.commit(this.waiting.splice(0, reportsMax))
    this.busy = null
  }

  /** A report that the database refuses must not take the others with it: halves are tried until it stands alone. */
  private async commit(batch: readonly Waiting[]): Promise<void> {
    try {
      const held = await this.store.commitReports(batch.map((one) => one.report), this.owner)
      batch.forEach((one, index) => { one.done(held[index] === true) })
    } catch (error) {
      if (batch.length === 1 || !isRefusal(error)) { for (const one of batch) one.fail(error); return }
      const half = Math.ceil(batch.length / 2)
      await this.commit(batch.slice(0, half))
      await this.commit(batch.slice(half))
    }
  }
}

/** The database answered and said no; a database that is away says nothing of any single report. */
const isRefusal = (error: unknown): boolean => {
  const { code, meta } = error as { code?: string; meta?: { driverAdapterError?: { cause?: { originalCode?: string } }; code?: string } }
  const sqlState = meta?.driverAdapterError?.cause?.originalCode ?? meta?.code ?? ''
  // UP: our own triggers; 22 and 23: data and constraints.
  return /^(UP|22|23)/.test(sqlState) || code === 'P2002' || code === 'P2003'
}
