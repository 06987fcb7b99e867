// The bell (a rollout may have something to do) and the errands (an attempt may be claimed). Both may be lost,
// doubled or late: the sweep rings again, claims are exclusive, and Postgres says what is true.
import { type Job, Queue, Worker } from 'bullmq'
import { type Backend, type BackendChoice, chooseBackend } from './backend.js'
import { type Handlers, idOf, type QueueName, queueNames } from './names.js'

export interface QueueLog {
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

/** A ring must not make its caller wait; a ring that is lost costs one sweep. */
const addMaxMs = 2_000
/** Jobs that stall are handed on this often before BullMQ gives them up; Postgres decides, not BullMQ. */
const stalledMax = 10
const lockMs = 30_000
/** Reconciles at once: rollouts are planned one by one each, several beside each other. */
const reconcileConcurrency = 4
/** A worker that has died is looked for and made anew this often. */
const watchMs = 10_000

export interface QueuesOptions extends Omit<BackendChoice, 'warn'> { readonly log: QueueLog }

/** BullMQ on Postgres cannot store NUL or lone surrogates: an error holding one would make the job run again and again. */
const storableError = (error: unknown): Error => new Error((error instanceof Error ? error.message : String(error)).replaceAll('\u0000', '').toWellFormed().slice(0, 500))

export class Queues {
  readonly kind: Backend['kind']
  private readonly backend: Backend
  private readonly queues = new Map<QueueName, Queue>()
  private readonly workers = new Map<QueueName, { worker: Worker; start: () => Worker }>()
  private readonly stop = new AbortController()
  private readonly running = new Set<AbortController>()
  private readonly watch: NodeJS.Timeout
  private rings = 0

  constructor(private readonly options: QueuesOptions) {
    this.backend = chooseBackend({ ...options, warn: (message) => { options.log.warn({}, message) } })
    this.kind = this.backend.kind
    this.watch = setInterval(() => { this.revive() }, watchMs)
    this.watch.unref()
  }

  /** Waits for the backend, then opens the queues. */
  async open(): Promise<this> {
    await this.backend.ready(this.stop.signal)
    for (const name of Object.keys(queueNames) as QueueName[]) {
      const queue = new Queue(queueNames[name], { ...this.backend.queueOptions(), defaultJobOptions: { removeOnComplete: true, removeOnFail: true } }, this.backend.factory as never)
      queue.on('error', (error) => { this.options.log.warn({ queue: name, error: error.message }, 'the queue has trouble') })
      this.queues.set(name, queue)
    }
    return this
  }

  /** At most one reconcile of a rollout runs and one waits; a ring during a run leads to one more. */
  ringRollout(rolloutId: string): Promise<void> {
    return this.add('reconcile', rolloutId, { deduplication: { id: rolloutId, keepLastIfActive: true } })
  }

  ringAttempt(attemptId: string): Promise<void> {
    // A number of its own each time: BullMQ silently drops an id that it still knows.
    return this.add('execute', attemptId, { jobId: `attempt-${attemptId}-${Date.now().toString(36)}-${this.rings++}` })
  }

  async ringAttempts(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    const queue = this.queues.get('execute')
    const jobs = ids.map((id) => ({ name: 'attempt', data: { id }, opts: { jobId: `attempt-${id}-${Date.now().toString(36)}-${this.rings++}` } }))
    await this.tolerate('execute', queue?.addBulk(jobs))
  }

  start<N extends QueueName>(name: N, handler: Handlers[N], concurrency = reconcileConcurrency): void {
    const start = (): Worker => this.startWorker(name, handler, concurrency)
    this.workers.set(name, { worker: start(), start })
  }

  private startWorker(name: QueueName, handler: Handlers[QueueName], concurrency: number): Worker {
    const worker: Worker = new Worker(queueNames[name], async (job: Job, _token?: string, signal?: AbortSignal) => {
      const id = idOf(job.data)
      if (id === null) { this.options.log.error({ queue: name, job: job.id }, 'a job without an id of ours: ignored'); return }
      const own = new AbortController()
      this.running.add(own)
      try { await handler(id, signal ? AbortSignal.any([signal, own.signal]) : own.signal) } catch (error) {
        this.options.log.error({ queue: name, id, error: error instanceof Error ? error.stack : String(error) }, 'a job failed; the sweep will ring again')
        throw storableError(error)
      } finally { this.running.delete(own) }
    }, { ...this.backend.workerOptions(), concurrency, lockDuration: lockMs, maxStalledCount: stalledMax, removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } }, this.backend.factory as never)
    worker.on('error', (error) => { this.options.log.warn({ queue: name, error: error.message }, 'the worker has trouble') })
    worker.on('lockRenewalFailed', (ids: string[]) => { for (const id of ids) worker.cancelJob(id, 'its lock was lost') })
    return worker
  }

  private async add(name: QueueName, id: string, options: object): Promise<void> {
    await this.tolerate(name, this.queues.get(name)?.add(name, { id }, options))
  }

  private async tolerate(name: QueueName, adding: Promise<unknown> | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_done, fail) => { timer = setTimeout(() => { fail(new Error(`no answer within ${addMaxMs} ms`)) }, addMaxMs) })
    try { await Promise.race([adding, late]) } catch (error) {
      adding?.catch(() => {})
      this.options.log.warn({ queue: name, error: (error as Error).message }, 'a ring was lost; the sweep makes it good')
    } finally { clearTimeout(timer) }
  }

  private revive(): void {
    for (const [name, { worker, start }] of this.workers) {
      if (this.stop.signal.aborted || worker.isRunning()) continue
      this.options.log.warn({ queue: name }, 'the worker had ended; it is started again')
      void worker.close(true).catch(() => {})
      this.workers.set(name, { worker: start(), start })
    }
  }

  /** Takes no more jobs, tells the running ones to stop, waits for them at most `withinMs`. */
  async close(withinMs: number): Promise<void> {
    this.stop.abort()
    clearInterval(this.watch)
    const closing = Promise.all([...this.workers.values()].map(({ worker }) => worker.close().catch(() => {})))
    for (const job of this.running) job.abort()
    const timer = new Promise<void>((done) => { setTimeout(done, withinMs).unref() })
    await Promise.race([closing, timer])
    await Promise.race([Promise.all([...this.queues.values()].map((queue) => queue.close().catch(() => {}))), timer])
  }
}

export const openQueues = (options: QueuesOptions): Promise<Queues> => new Queues(options).open()
