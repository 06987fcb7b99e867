// The whole ring in one process: real PostgreSQL, both queues, real SSH, simulated kernels that outlive the plane.
import { setTimeout as sleep } from 'node:timers/promises'
import type { SimGate } from '@uptide/fleet-sim'
import type { KlpGeneration } from '@uptide/livepatch'
import { defaultStrategy, edgeTables, mayMove, type Strategy, type TargetState } from '@uptide/rollout'
import { newId, type Store, type StoredEvent } from '@uptide/store'
import { freshDatabase, type FreshDatabase, openSql } from '@uptide/store/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Plane, specLeaseMs, startPlane } from './testing/plane.js'
import { redisServer, type RedisServer } from './testing/redis.js'
import { enrol, type Enrolled, serveHosts, type SimHosts } from './testing/sim-hosts.js'
import { until } from './testing/until.js'

const quick: Strategy = {
  ...defaultStrategy, bakeMs: 50, inFlightMax: 5, retry: { attemptsMax: 4, firstMs: 50, maxMs: 200 },
  stall: { afterMs: 1_000, acts: ['wait', 'nudge', 'reverse'], intervalMs: 150, intervalMaxMs: 300, giveUpMs: 60_000, onGiveUp: 'reverse' },
}

const twoKernels = (count: number): Record<string, KlpGeneration> => Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${String(i + 1).padStart(2, '0')}`, i % 2 === 0 ? 'klp61' : 'klp611']))

let database: FreshDatabase
let redis: RedisServer
const planes: Plane[] = []
let hosts: SimHosts | null = null

const plane = async (options: Partial<Parameters<typeof startPlane>[0]> = {}): Promise<Plane> => {
  const made = await startPlane({ databaseUrl: database.url, ...options })
  planes.push(made)
  return made
}

beforeAll(async () => {
  database = await freshDatabase()
  redis = await redisServer()
  await redis.start()
})
afterEach(async () => {
  await Promise.all(planes.splice(0).map((one) => one.stop()))
  await hosts?.close()
  hosts = null
})
afterAll(async () => {
  await redis.remove()
  await database.drop()
})

/** @param waves the hosts of each wave; the first is the canary. */
async function rollOut(on: Plane, enrolled: Enrolled, waves: readonly (readonly string[])[], strategy: Strategy = quick): Promise<string> {
  const made = await on.store.createRollout({
    name: `rollout-${newId()}`, patchId: enrolled.patchId, strategy, plan: {}, start: true, skipped: [],
    waves: waves.map((names, index) => ({ canary: index === 0, targets: names.map((name) => enrolled.target(name)) })),
  }, 'token:spec')
  if (!made.ok) throw new Error('the rollout was not made')
  await on.ring(made.id)
  return made.id
}

const stateOf = async (store: Store, id: string): Promise<string | undefined> => (await store.findRollout(id))?.state
const untilState = (store: Store, id: string, ...states: string[]): Promise<void> => until(`the rollout is ${states.join(' or ')}`, async () => states.includes((await stateOf(store, id)) ?? ''), 40_000)
const targetStates = async (store: Store, id: string): Promise<Record<string, string>> =>
  Object.fromEntries((await store.listTargets(id, {}, { limit: 100 })).items.map((row) => [row.hostName.slice(0, 3), row.state]))
const reasonOf = async (store: Store, id: string, host: string): Promise<{ code: string; says: string }> =>
  (await store.listTargets(id, {}, { limit: 100 })).items.find((row) => row.hostName.startsWith(host))?.reason as { code: string; says: string }

async function eventsOf(store: Store, rolloutId: string): Promise<StoredEvent[]> {
  const all: StoredEvent[] = []
  for (let after: string | null = '0'; after !== null;) {
    const page: { items: readonly StoredEvent[]; next: string | null } = await store.listEvents({ rolloutId }, { after, limit: 500 })
    all.push(...page.items)
    after = page.next
  }
  return all
}

const hostOf = (event: StoredEvent): string => String(event.data['host']).slice(0, 3)

/** What must hold after every story: legal edges, the limit kept, at most one load a boot, tokens that only grow, nothing left open. */
async function faults(store: Store, rolloutId: string, gates: ReadonlyMap<string, SimGate>, inFlightMax: number): Promise<string[]> {
  const found: string[] = []
  const at = new Map<string, TargetState>()
  const open = new Set<unknown>()
  for (const { kind, targetId, data, seq } of await eventsOf(store, rolloutId)) {
    if (kind === 'attempt.ordered') open.add(data['attemptId'])
    if (kind === 'attempt.ended' || kind === 'attempt.abandoned') open.delete(data['attemptId'])
    if (open.size > inFlightMax) found.push(`event ${seq}: ${open.size} attempts are open`)
    if (!kind.startsWith('target.') || targetId === null) continue
    const to = kind.slice('target.'.length) as TargetState
    const from = at.get(targetId) ?? 'pending'
    if (from !== to && !mayMove(edgeTables.target, from, to)) found.push(`event ${seq}: from ${from} to ${to}`)
    at.set(targetId, to)
  }
  if (open.size > 0) found.push(`${open.size} attempts are left open`)
  for (const row of (await store.listTargets(rolloutId, {}, { limit: 100 })).items) if (row.state !== (at.get(row.id) ?? 'pending') && row.state !== 'cancelled') found.push(`${row.hostName} is ${row.state}, its events say ${at.get(row.id)}`)
  for (const [name, gate] of gates) found.push(...effectFaults(name, gate))
  const chain = await store.verifyEvents()
  if (!chain.ok) found.push(`the chain of events: ${JSON.stringify(chain)}`)
  return found
}

function effectFaults(name: string, gate: SimGate): string[] {
  const found: string[] = []
  const loaded = new Set<string>()
  let floor = 0n
  for (const effect of gate.effects) {
    if (effect.token < floor) found.push(`${name} obeyed token ${effect.token} after ${floor}`)
    floor = effect.token
    const key = `${effect.bootId} ${effect.args[0]}`
    if (effect.verb === 'load' && effect.result === 'ok') {
      if (loaded.has(key)) found.push(`${name} loaded ${effect.args[0]} twice`)
      loaded.add(key)
    }
    if (effect.verb === 'unload' && effect.result === 'ok') loaded.delete(key)
  }
  if (gate.lockedBy !== null) found.push(`${name} is still locked`)
  return found
}

const active = (gate: SimGate | undefined, module: string): boolean => gate?.kernel.patches.some((patch) => patch.module.name === module && patch.enabled) === true && gate.kernel.transition === null
const block = (gate: SimGate | undefined, interruptible = true): void => {
  gate?.kernel.spawn({ comm: 'cat', interruptible, frames: [{ object: 'vmlinux', name: 'version_proc_show', by: null }] })
}

for (const queue of ['PostgreSQL', 'Redis'] as const) {
  describe(`a rollout, with the queue on ${queue}`, () => {
    const options = (): { redisUrl?: string } => (queue === 'Redis' ? { redisUrl: redis.url } : {})

    it('patches twelve hosts of two kernels: the canary of each build first, a stalled host nudged free, all taken back in the end', async () => {
      hosts = await serveHosts(twoKernels(12))
      const names = [...hosts.gates.keys()]
      const on = await plane(options())
      const enrolled = await enrol(on.store, on.sealer, hosts)
      block(hosts.gates.get('h05'))
      const id = await rollOut(on, enrolled, [names.slice(0, 2), names.slice(2, 6), names.slice(6)])
      await untilState(on.store, id, 'succeeded', 'held', 'failed')

      expect(await targetStates(on.store, id)).toEqual(Object.fromEntries(names.map((name) => [name, 'succeeded'])))
      expect(names.filter((name) => !active(hosts?.gates.get(name), 'uptide_v1'))).toEqual([])
      const events = await eventsOf(on.store, id)
      const canaryPassed = events.findIndex((event) => event.kind === 'wave.passed' && event.data['canary'] === true)
      const firstOther = events.findIndex((event) => event.kind === 'attempt.ordered' && !['h01', 'h02'].includes(hostOf(event)))
      expect(canaryPassed).toBeGreaterThan(0)
      expect(firstOther).toBeGreaterThan(canaryPassed)
      const stalled = events.find((event) => event.kind === 'attempt.ended' && (event.data['outcome'] as { kind: string }).kind === 'stalled')
      expect(hostOf(stalled as StoredEvent)).toBe('h05')
      expect(((stalled as StoredEvent).data['outcome'] as { blockers: { comm: string }[] }).blockers.map((one) => one.comm)).toEqual(['cat'])
      expect(events.filter((event) => event.kind === 'attempt.ordered' && event.data['kind'] === 'nudge').map(hostOf)).toContain('h05')
      expect(await faults(on.store, id, hosts.gates, quick.inFlightMax)).toEqual([])

      expect(await on.store.actOnRollout(id, 'revert', 'token:spec')).toEqual({ ok: true })
      await on.ring(id)
      await untilState(on.store, id, 'reverted', 'failed')
      expect(await stateOf(on.store, id)).toBe('reverted')
      expect(names.filter((name) => hosts?.gates.get(name)?.kernel.modules.has('uptide_v1'))).toEqual([])
      expect(await faults(on.store, id, hosts.gates, quick.inFlightMax)).toEqual([])
    })

    it('is held by one host that refuses the build, starts nothing more, and goes on when a person resumes', async () => {
      hosts = await serveHosts(twoKernels(8), { sigEnforce: ['h03'] })
      const names = [...hosts.gates.keys()]
      const on = await plane(options())
      const id = await rollOut(on, await enrol(on.store, on.sealer, hosts), [['h01', 'h02'], ['h03', 'h04'], names.slice(4)])
      await untilState(on.store, id, 'held')
      await until('what was under way has ended', async () => Object.values(await targetStates(on.store, id)).every((state) => ['pending', 'succeeded', 'failed'].includes(state)))
      await sleep(600)
      expect(await targetStates(on.store, id)).toEqual({ h01: 'succeeded', h02: 'succeeded', h03: 'failed', h04: 'succeeded', h05: 'pending', h06: 'pending', h07: 'pending', h08: 'pending' })
      expect((await reasonOf(on.store, id, 'h03')).code).toBe('SIGNATURE_REJECTED')
      expect(names.slice(4).filter((name) => (hosts?.gates.get(name)?.effects.length ?? 0) > 0)).toEqual([])

      await on.store.actOnRollout(id, 'resume', 'token:spec')
      await on.ring(id)
      await untilState(on.store, id, 'succeeded', 'failed')
      expect(Object.values(await targetStates(on.store, id)).filter((state) => state === 'succeeded')).toHaveLength(7)
      expect(await faults(on.store, id, hosts.gates, quick.inFlightMax)).toEqual([])
    })

    it('ends as well when every connection to the database is cut again and again, and every job forgotten', async () => {
      hosts = await serveHosts(twoKernels(10))
      const names = [...hosts.gates.keys()]
      const on = await plane(options())
      const id = await rollOut(on, await enrol(on.store, on.sealer, hosts), [names.slice(0, 2), names.slice(2)])
      const sql = await openSql(database.url)
      for (let cut = 0; cut < 5; cut++) {
        await sleep(250)
        await sql.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')
        if (queue === 'Redis') await redis.command('FLUSHALL')
      }
      await sql.close()
      // The spec's own reads go over connections that were cut as well: one may fail, and is asked again.
      await until('the rollout has ended', () => stateOf(on.store, id).then((state) => state === 'succeeded' || state === 'held' || state === 'failed', () => false), 40_000)
      expect(await targetStates(on.store, id)).toEqual(Object.fromEntries(names.map((name) => [name, 'succeeded'])))
      expect(await faults(on.store, id, hosts.gates, quick.inFlightMax)).toEqual([])
    })

    it('is handed on by a worker that is stopped in order, at once and without calling any host lost', async () => {
      hosts = await serveHosts(twoKernels(2))
      const first = await plane(options())
      const enrolled = await enrol(first.store, first.sealer, hosts)
      for (const gate of hosts.gates.values()) block(gate)
      const id = await rollOut(first, enrolled, [['h01', 'h02']], { ...quick, stall: { ...quick.stall, afterMs: 20_000 } })
      await until('both hosts are in transition', async () => Object.values(await targetStates(first.store, id)).every((state) => state === 'transitioning'))
      planes.splice(0)
      await first.stop()
      for (const gate of hosts.gates.values()) for (const thread of gate.kernel.threads.values()) gate.kernel.wake(thread.tid)
      const before = performance.now()
      const second = await plane(options())
      await untilState(second.store, id, 'succeeded', 'held', 'failed')
      expect(performance.now() - before).toBeLessThan(specLeaseMs + 8_000)
      expect(await targetStates(second.store, id)).toEqual({ h01: 'succeeded', h02: 'succeeded' })
      const kinds = (await eventsOf(second.store, id)).map((event) => event.kind)
      expect(kinds.filter((kind) => kind === 'attempt.abandoned')).toHaveLength(2)
      expect(kinds).not.toContain('target.lost')
      expect(await faults(second.store, id, hosts.gates, quick.inFlightMax)).toEqual([])
    })
  })
}

describe('a host', () => {
  it('that rebooted while no worker was there to see it counts as failed, not as patched by the next try', async () => {
    hosts = await serveHosts({ h01: 'klp61' })
    const first = await plane()
    const enrolled = await enrol(first.store, first.sealer, hosts)
    const gate = hosts.gates.get('h01')
    block(gate)
    const id = await rollOut(first, enrolled, [['h01']], { ...quick, stall: { ...quick.stall, afterMs: 20_000 } })
    await until('it is in transition', async () => (await targetStates(first.store, id))['h01'] === 'transitioning')
    planes.splice(0)
    await first.stop()
    gate?.kernel.reboot(0)
    const second = await plane()
    await untilState(second.store, id, 'held', 'succeeded', 'failed')
    expect(await targetStates(second.store, id)).toEqual({ h01: 'failed' })
    expect((await reasonOf(second.store, id, 'h01')).code).toBe('REBOOTED')
    expect(gate?.effects.filter((effect) => effect.verb === 'load')).toHaveLength(1)
    // The artefact starts nowhere any more, in no rollout of this database, until a person releases it.
    const [halt] = (await second.store.listHalts(false, { limit: 10 })).items
    expect(halt).toMatchObject({ reason: { code: 'REBOOTED' }, suspects: [{ state: 'failed' }] })
    const other = await rollOut(second, enrolled, [['h01']])
    await until('the other rollout runs', async () => (await stateOf(second.store, other)) === 'running')
    expect(await targetStates(second.store, other)).toEqual({ h01: 'pending' })
    expect(await second.store.releaseHalt(halt?.id ?? '', 'token:spec', 'it was rebooted on purpose')).toEqual({ ok: true })
    await second.ring(other)
    await untilState(second.store, other, 'succeeded', 'held', 'failed')
    expect(await targetStates(second.store, other)).toEqual({ h01: 'succeeded' })
  })

  it('whose credential was sealed with another key is not tried, and says so without a word of the key', async () => {
    hosts = await serveHosts({ h01: 'klp61' })
    const first = await plane({ roles: [] })
    const enrolled = await enrol(first.store, first.sealer, hosts)
    const second = await plane({ key: new Uint8Array(32).fill(9) })
    const id = await rollOut(second, enrolled, [['h01']])
    await untilState(second.store, id, 'held', 'failed')
    const reason = await reasonOf(second.store, id, 'h01')
    expect(reason.code).toBe('CREDENTIAL_UNUSABLE')
    expect(reason.says).toMatch(/^The stored credential of the host cannot be opened.* does not open: the installation's key is not the one it was sealed with/)
    const secret = hosts.privateKey.split('\n')[2] ?? ''
    expect(secret.length).toBeGreaterThan(20)
    expect(JSON.stringify(await eventsOf(second.store, id)) + second.log.join('')).not.toContain(secret)
  })

  it('is left alone by a job that somebody else put into the queue', async () => {
    hosts = await serveHosts({ h01: 'klp61' })
    const on = await plane()
    await enrol(on.store, on.sealer, hosts)
    await on.ring(newId())
    await until('the bell was heard', () => on.log.some((line) => line.includes('rung for a rollout that does not exist')))
    expect(hosts.gates.get('h01')?.journal).toEqual([])
  })
})

describe('two workers and two schedulers on one database', () => {
  it('share a rollout, and every host is loaded once', async () => {
    hosts = await serveHosts(twoKernels(12))
    const names = [...hosts.gates.keys()]
    const [one, two] = [await plane(), await plane({ redisUrl: redis.url })]
    const id = await rollOut(one, await enrol(one.store, one.sealer, hosts), [names.slice(0, 2), names.slice(2)])
    await untilState(two.store, id, 'succeeded', 'held', 'failed')
    expect(await targetStates(two.store, id)).toEqual(Object.fromEntries(names.map((name) => [name, 'succeeded'])))
    expect([...hosts.gates.values()].map((gate) => gate.effects.filter((effect) => effect.verb === 'load').length)).toEqual(names.map(() => 1))
    expect(await faults(two.store, id, hosts.gates, quick.inFlightMax)).toEqual([])
  })
})
