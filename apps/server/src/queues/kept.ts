// A queue or a worker that must be there: made anew when it never came up, or has ended.

export interface Keepable { waitUntilReady(): Promise<unknown>; close(force?: boolean): Promise<void> }

export interface KeptWays<T> {
  make(): T
  /** False: it has ended by itself. */
  alive(made: T): boolean
  /** Told each time before another is made. */
  again(why: string): void
}

/** A backend that answers at all does so within this time; construction then is to be tried again. */
const readyMaxMs = 15_000

/**
 * BullMQ 6.7.0 remembers a rejected connection for ever: a queue or worker that was made while its database was away
 * stays dead without a word. So each is watched until it stood once, and looked at again by `check`.
 */
export class Kept<T extends Keepable> {
  private made: T
  private stood = false
  private closed = false
  private since = Date.now()

  constructor(private readonly ways: KeptWays<T>) { this.made = this.fresh() }

  get current(): T { return this.made }

  private fresh(): T {
    this.stood = false
    this.since = Date.now()
    const made = this.ways.make()
    made.waitUntilReady().then(
      () => { if (made === this.made) this.stood = true },
      (error: unknown) => { if (made === this.made) this.replace(error instanceof Error ? error.message : String(error)) },
    )
    return made
  }

  /** To be called every few seconds. */
  check(): void {
    if (this.closed) return
    if (!this.stood && Date.now() - this.since > readyMaxMs) this.replace(`not ready after ${readyMaxMs / 1000} s`)
    else if (this.stood && !this.ways.alive(this.made)) this.replace('it had ended')
  }

  /** The next `check` after a failure makes the next one, so that a backend that refuses is not asked in a tight loop. */
  private replace(why: string): void {
    if (this.closed) return
    const gone = this.made
    if (Date.now() - this.since < 1_000) { setTimeout(() => { if (gone === this.made) this.replace(why) }, 1_000).unref(); return }
    this.ways.again(why)
    this.made = this.fresh()
    void gone.close(true).catch(() => {})
  }

  async close(): Promise<void> {
    this.closed = true
    await this.made.close().catch(() => {})
  }
}
