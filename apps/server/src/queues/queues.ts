// The bell (a rollout may have something to do) and the errands (an attempt may be claimed). Both may be lost,
// doubled or late: the sweep makes up for it, claims are exclusive, and Postgres says what is true.
import { type Job, Queue, Worker } from 'bullmq'
import { type Backend, type BackendChoice, chooseBackend } from './backend.js'
import { Kept } from './kept.js'
import { type Handlers, idOf, type QueueName, queueNames, queueTable } from './names.js'

export interface QueueLog {
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

/** A ring must not make its caller wait; a ring that is lost costs one sweep. */
const addMaxMs = 2_000
/** Jobs that stall are handed on this often before BullMQ gives them up; Postgres decides, not BullMQ. */
const stalledMax = 10
/** Jobs of dead workers are looked for this often: with a lock of 10 s, a bell is stuck for 15 s at most. */
const stalledEveryMs = 5_000
/** Queues and workers that have died are looked for this often. */
const watchMs = 2_500
/** A worker whose connection was refused asks again after this long. */
const retryMs = 2_000
/** A start does not wait longer for a backend that is away: what needs no queue must come up. */
const openMaxMs = 10_000

export interface QueuesOptions extends Omit<BackendChoice, 'warn'> {
  readonly log: QueueLog
  /** The backend came back later and is set up in a way that loses jobs: the process must end. */
  refused?(says: string): void
}

/** BullMQ on Postgres cannot store NUL or lone surrogates: an error holding one would make the job run again and again. */
export const storableError = (error: unknown): Error => new Error((error instanceof Error ? error.message : String(error)).replaceAll('\u0000', '').toWellFormed().slice(0, 500))

const says = (error: unknown): string => (error instanceof Error ? error.message : String(error))

interface Started { readonly handler: Handlers[QueueName]; readonly concurrency: number }

export class Queues {
  readonly kind: Backend['kind']
  private readonly backend: Backend
  private readonly queues = new Map<QueueName, Kept<Queue>>()
  private readonly workers = new Map<QueueName, Kept<Worker>>()
  private readonly handlers = new Map<QueueName, Started>()
  private readonly stop = new AbortController()
  private readonly running = new Set<AbortController>()
  private readonly watch: NodeJS.Timeout
  private opened = false
  private rings = 0

  constructor(private readonly options: QueuesOptions) {
    this.backend = chooseBackend({ ...options, warn: (message) => { options.log.warn({}, message) } })
    this.kind = this.backend.kind
    this.watch = setInterval(() => { for (const kept of [...this.queues.values(), ...this.workers.values()]) kept.check() }, watchMs)
    this.watch.unref()
  }

  /** Waits for the backend, but not for long: a late one is taken up when it comes. @throws when it is set up in a way that loses jobs. */
  async open(waitMs = openMaxMs): Promise<this> {
    const opening = this.backend.ready(this.stop.signal).then(() => { this.makeAll() })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<true>((done) => { timer = setTimeout(() => { done(true) }, waitMs) })
    try {
      if (await Promise.race([opening, late])) {
        this.options.log.warn({ backend: this.kind }, 'the queue\'s backend does not answer; nothing moves until it does')
        opening.catch((error: unknown) => { this.options.log.error({ error: says(error) }, 'the queue\'s backend is refused'); this.options.refused?.(says(error)) })
      }
    } finally { clearTimeout(timer) }
    return this
  }

  private makeAll(): void {
    if (this.stop.signal.aborted) return
    this.opened = true
    for (const name of queueNames) {
      this.queues.set(name, new Kept({
        make: () => this.makeQueue(name), alive: () => true,
        again: (why) => { this.options.log.warn({ queue: name, why }, 'the queue is opened again') },
      }))
    }
    for (const [name, started] of this.handlers) this.makeWorker(name, started)
  }

  private makeQueue(name: QueueName): Queue {
    const queue = new Queue(name, { ...this.backend.queueOptions(), defaultJobOptions: { removeOnComplete: true, removeOnFail: true } }, this.backend.factory as never)
    queue.on('error', (error) => { this.options.log.warn({ queue: name, error: error.message }, 'the queue has trouble') })
    return queue
  }

  /** At most one reconcile of a rollout runs and one waits; a ring during a run leads to one more. */
  ringRollout(rolloutId: string): Promise<void> {
    return this.tolerate('reconcile', (queue) => queue.add('rollout', { id: rolloutId }, { deduplication: { id: rolloutId, keepLastIfActive: true } }))
  }

  ringAttempt(attemptId: string): Promise<void> { return this.ringAttempts([attemptId]) }

  async ringAttempts(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    // A number of its own each time: BullMQ silently drops an id that it still knows.
    const jobs = ids.map((id) => ({ name: 'attempt', data: { id }, opts: { jobId: `attempt-${id}-${Date.now().toString(36)}-${this.rings++}` } }))
    await this.tolerate('execute', (queue) => queue.addBulk(jobs))
  }

  /** One handler for each queue of a process. @throws when there is one already. */
  start<N extends QueueName>(name: N, handler: Handlers[N], concurrency: number = queueTable[name].concurrency): void {
    if (this.handlers.has(name)) throw new Error(`the queue ${name} has a handler already`)
    const started = { handler, concurrency }
    this.handlers.set(name, started)
    if (this.opened) this.makeWorker(name, started)
  }

  private makeWorker(name: QueueName, started: Started): void {
    this.workers.set(name, new Kept({
      make: () => this.startWorker(name, started), alive: (worker) => worker.isRunning(),
      again: (why) => { this.options.log.warn({ queue: name, why }, 'the worker is started again') },
    }))
  }

  private startWorker(name: QueueName, { handler, concurrency }: Started): Worker {
    const { lockMs, onLockLost } = queueTable[name]
    const worker: Worker = new Worker(name, async (job: Job, _token?: string, signal?: AbortSignal) => {
      const id = idOf(job.data)
      if (id === null) { this.options.log.error({ queue: name, job: job.id }, 'a job without an id of ours: ignored'); return }
      const own = new AbortController()
      this.running.add(own)
      try { await handler(id, signal ? AbortSignal.any([signal, own.signal]) : own.signal) } catch (error) {
        this.options.log.error({ queue: name, id, error: error instanceof Error ? error.stack : String(error) }, 'a job failed; the sweep looks after it')
        throw storableError(error)
      } finally { this.running.delete(own) }
    }, { ...this.backend.workerOptions(), concurrency, lockDuration: lockMs, stalledInterval: stalledEveryMs, maxStalledCount: stalledMax, autorun: false, runRetryDelay: retryMs, removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } }, this.backend.factory as never)
    worker.on('error', (error) => { this.options.log.warn({ queue: name, error: error.message }, 'the worker has trouble') })
    // Not before it stands: BullMQ 6.7.0's loop asks a connection that was refused once again and again without a pause,
    // and nothing else in the process runs any more. When it does not stand, Kept makes another.
    worker.waitUntilReady().then(() => worker.run()).catch((error: unknown) => { this.options.log.warn({ queue: name, error: says(error) }, 'the worker does not run') })
    if (onLockLost === 'cancel') worker.on('lockRenewalFailed', (ids: string[]) => { for (const id of ids) worker.cancelJob(id, 'its lock was lost') })
    return worker
  }

  /** Adds to a queue; what goes wrong is logged, never thrown, and the caller waits for 2 s at most. */
  private async tolerate(name: QueueName, add: (queue: Queue) => Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_done, fail) => { timer = setTimeout(() => { fail(new Error(`no answer within ${addMaxMs} ms`)) }, addMaxMs) })
    late.catch(() => {})
    try {
      const queue = this.queues.get(name)?.current
      if (!queue) throw new Error('the queue is not open yet')
      const adding = add(queue)
      adding.catch(() => {})
      await Promise.race([adding, late])
    } catch (error) {
      this.options.log.warn({ queue: name, error: says(error) }, 'a ring was lost; the sweep makes it good')
    } finally { clearTimeout(timer) }
  }

  /** Takes no more jobs, tells the running ones to stop, waits for them at most `withinMs`. */
  async close(withinMs: number): Promise<void> {
    this.stop.abort()
    clearInterval(this.watch)
    const closing = Promise.all([...this.workers.values()].map((worker) => worker.close()))
    for (const job of this.running) job.abort()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((done) => { timer = setTimeout(done, withinMs) })
    await Promise.race([closing, late])
    await Promise.race([Promise.all([...this.queues.values()].map((queue) => queue.close())), late])
    clearTimeout(timer)
  }
}

export const openQueues = (options: QueuesOptions, waitMs?: number): Promise<Queues> => new Queues(options).open(waitMs)
