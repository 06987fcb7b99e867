// What both backends must do, word for word the same. A backing is a real server that can be killed.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../testing/until.js'
import { chooseBackend } from './backend.js'
import { type Queues, openQueues, type QueuesOptions } from './queues.js'

export interface Backing {
  /** Known before the server has started. */
  readonly options: Omit<QueuesOptions, 'log'>
  start(): Promise<void>
  /** kill -9. */
  kill(): Promise<void>
  /** Forgets every job. */
  flush(): Promise<void>
  remove(): Promise<void>
}

export interface Said { readonly level: 'warn' | 'error'; readonly details: object; readonly message: string }

/** A backend that was killed is taken up again within this time: the watch looks every 2.5 s, workers ask every 2 s; the rest is a slow machine. */
const recoveryMaxMs = 45_000

/** Runs of a handler, by id. */
class Runs {
  readonly started: { readonly id: string; readonly at: number }[] = []
  readonly ended: string[] = []
  now = 0
  most = 0
  of = (id: string): number => this.started.filter((one) => one.id === id).length
  over = (id: string): number => this.ended.filter((one) => one === id).length
  handler = (work: (id: string, signal: AbortSignal) => Promise<void> = async () => {}) => async (id: string, signal: AbortSignal): Promise<void> => {
    this.started.push({ id, at: performance.now() })
    this.now += 1
    this.most = Math.max(this.most, this.now)
    try { await work(id, signal) } finally { this.now -= 1; this.ended.push(id) }
  }
}

export function queueConformance(name: string, make: () => Promise<Backing>): void {
  describe(`the queues on ${name}`, () => {
    let backing: Backing
    const opened: Queues[] = []
    const said: Said[] = []
    const log = { warn: (details: object, message: string) => { said.push({ level: 'warn', details, message }) }, error: (details: object, message: string) => { said.push({ level: 'error', details, message }) } }
    const open = async (waitMs?: number): Promise<Queues> => {
      const queues = await openQueues({ ...backing.options, log }, waitMs)
      opened.push(queues)
      return queues
    }

    beforeAll(async () => { backing = await make() })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((queues) => queues.close(5_000)))
      said.length = 0
    })
    afterAll(() => backing.remove())

    it('come up when their backend comes later than they do, and keep nobody waiting for it', async () => {
      const before = performance.now()
      const queues = await open(300)
      await queues.ringRollout(randomUUID())
      expect(performance.now() - before).toBeLessThan(3_000)
      expect(said.map((one) => one.message)).toContain('the queue\'s backend does not answer; nothing moves until it does')
      const runs = new Runs()
      queues.start('reconcile', runs.handler())
      await backing.start()
      const id = randomUUID()
      await until('a ring arrives', async () => { await queues.ringRollout(id); return runs.of(id) > 0 }, recoveryMaxMs)
    })

    it('turn a hundred rings of one rollout into one run that is under way and one after it', async () => {
      const queues = await open()
      const id = randomUUID()
      let release: () => void = () => {}
      const held = new Promise<void>((done) => { release = done })
      const runs = new Runs()
      queues.start('reconcile', runs.handler(async () => { if (runs.started.length === 1) await held }))
      await queues.ringRollout(id)
      await until('the first run is under way', () => runs.of(id) === 1)
      await Promise.all(Array.from({ length: 100 }, () => queues.ringRollout(id)))
      expect(runs.of(id)).toBe(1)
      release()
      await until('the run after it', () => runs.over(id) === 2)
      await sleep(500)
      expect(runs.of(id)).toBe(2)
    })

    it('never lose the last of many rings, and run far less often than they are rung', async () => {
      const queues = await open()
      const id = randomUUID()
      const runs = new Runs()
      queues.start('reconcile', runs.handler(() => sleep(15)))
      let last = 0
      for (let i = 0; i < 60; i++) {
        last = performance.now()
        await queues.ringRollout(id)
        await sleep(i % 4)
      }
      await until('a run that began after the last ring', () => runs.started.some((one) => one.id === id && one.at >= last))
      expect(runs.of(id)).toBeLessThan(60)
    })

    it('hand each attempt over once, and again when it is rung again after it was done', async () => {
      const queues = await open()
      const ids = Array.from({ length: 40 }, () => randomUUID())
      const runs = new Runs()
      queues.start('execute', runs.handler())
      await queues.ringAttempts(ids)
      await until('all forty have run', () => ids.every((id) => runs.over(id) === 1))
      await sleep(300)
      expect(ids.map((id) => runs.of(id))).toEqual(ids.map(() => 1))
      await queues.ringAttempt(ids[0] as string)
      await until('the first one runs again', () => runs.of(ids[0] as string) === 2)
    })

    it('run as many attempts at once as they may, and not one more', async () => {
      const queues = await open()
      const ids = Array.from({ length: 20 }, () => randomUUID())
      const runs = new Runs()
      queues.start('execute', runs.handler(() => sleep(150)), 5)
      await queues.ringAttempts(ids)
      await until('all twenty have run', () => ids.every((id) => runs.over(id) === 1))
      expect(runs.most).toBe(5)
    })

    it('go on after a handler that throws words no database can hold, which is not tried again', async () => {
      const queues = await open()
      const [bad, good] = [randomUUID(), randomUUID()]
      const runs = new Runs()
      queues.start('execute', runs.handler(async (id) => { if (id === bad) throw new Error(`a NUL \u0000 and half a pair \ud800 from a host`) }))
      await queues.ringAttempt(bad)
      await until('it has thrown', () => runs.over(bad) === 1)
      await queues.ringAttempt(good)
      await until('the next one runs', () => runs.over(good) === 1)
      // A job that BullMQ takes for stalled would run again by now: it looks every 5 s.
      await sleep(6_000)
      expect(runs.of(bad)).toBe(1)
      expect(said.filter((one) => one.level === 'error').map((one) => one.message)).toEqual(['a job failed; the sweep looks after it'])
    })

    it('ignore what somebody else put into them', async () => {
      const queues = await open()
      const runs = new Runs()
      queues.start('execute', runs.handler())
      const chosen = chooseBackend({ ...backing.options, warn: () => {} })
      const raw = new Queue('execute', chosen.queueOptions(), chosen.factory as never)
      for (const data of [{ id: 'x; rm -rf /' }, { id: 7 }, 'text', {}, { id: '__proto__', command: 'insmod' }]) await raw.add('attempt', data, { removeOnComplete: true })
      await raw.close()
      await until('all five were looked at', () => said.filter((one) => one.message === 'a job without an id of ours: ignored').length === 5)
      expect(runs.started).toEqual([])
    })

    it('tell running jobs to stop when they close, and wait for them', async () => {
      const queues = await open()
      const id = randomUUID()
      const runs = new Runs()
      let aborted = false
      queues.start('execute', runs.handler(async (_id, signal) => {
        await new Promise((done) => { signal.addEventListener('abort', done, { once: true }) })
        aborted = true
        await sleep(300)
      }))
      await queues.ringAttempt(id)
      await until('it runs', () => runs.of(id) === 1)
      await queues.close(10_000)
      expect(aborted).toBe(true)
      expect(runs.over(id)).toBe(1)
    })

    it('refuse a second handler for the same queue', async () => {
      const queues = await open()
      queues.start('reconcile', async () => {})
      expect(() => { queues.start('reconcile', async () => {}) }).toThrow(/has a handler already/)
    })

    it('lose nothing but wake-ups when every job is forgotten in the middle of one', async () => {
      const queues = await open()
      const [first, second] = [randomUUID(), randomUUID()]
      const runs = new Runs()
      let release: () => void = () => {}
      const held = new Promise<void>((done) => { release = done })
      queues.start('reconcile', runs.handler(async (id) => { if (id === first && runs.of(first) === 1) await held }))
      queues.start('execute', runs.handler())
      await queues.ringRollout(first)
      await until('it runs', () => runs.of(first) === 1)
      await backing.flush()
      await queues.ringAttempt(second)
      await until('a later ring arrives', async () => { if (runs.of(second) === 0) await queues.ringAttempt(second); return runs.of(second) > 0 }, recoveryMaxMs)
      release()
      await until('the one that ran has ended', () => runs.over(first) === 1)
      await until('its rollout can be rung again', async () => { await queues.ringRollout(first); return runs.of(first) > 1 }, recoveryMaxMs)
    })

    it('work again after their backend was killed and came back, and never made a caller wait or fail', async () => {
      const queues = await open()
      const runs = new Runs()
      queues.start('reconcile', runs.handler())
      queues.start('execute', runs.handler())
      const id = randomUUID()
      await queues.ringRollout(id)
      await until('a ring arrives', () => runs.of(id) === 1)
      await backing.kill()
      const before = performance.now()
      await queues.ringRollout(randomUUID())
      await queues.ringAttempts([randomUUID(), randomUUID()])
      expect(performance.now() - before).toBeLessThan(5_000)
      expect(said.map((one) => one.message)).toContain('a ring was lost; the sweep makes it good')
      await backing.start()
      const [rollout, attempt] = [randomUUID(), randomUUID()]
      await until('rollouts can be rung', async () => { await queues.ringRollout(rollout); return runs.of(rollout) > 0 }, recoveryMaxMs)
      await until('attempts are handed over', async () => { await queues.ringAttempt(attempt); return runs.of(attempt) > 0 }, recoveryMaxMs)
    })
  })
}
