// Many askers, few transactions: whoever asks while one is under way goes into the next. A lone asker waits for nobody.

/** A batch beyond this keeps its locks, and the chain's, too long: 500 claims are written in about 100 ms. */
const batchMax = 500

export class Coalescer<A, R> {
  private waiting: { readonly ask: A; readonly done: (answer: R) => void; readonly fail: (error: unknown) => void }[] = []
  private busy = false

  /** @param run answers in the order of the questions. When it throws, everyone who asked hears it. */
  constructor(private readonly run: (asks: readonly A[]) => Promise<readonly R[]>) {}

  ask(ask: A): Promise<R> {
    return new Promise<R>((done, fail) => {
      this.waiting.push({ ask, done, fail })
      if (!this.busy) void this.work()
    })
  }

  private async work(): Promise<void> {
    this.busy = true
    try {
      // Those who ask in the same turn go together.
      await Promise.resolve()
      while (this.waiting.length > 0) {
        const batch = this.waiting.splice(0, batchMax)
        try {
          const answers = await this.run(batch.map((one) => one.ask))
          batch.forEach((one, index) => { one.done(answers[index] as R) })
        } catch (error) { for (const one of batch) one.fail(error) }
      }
    } finally { this.busy = false }
  }
}
