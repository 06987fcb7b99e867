import { setTimeout as sleep } from 'node:timers/promises'
import { type Outcome, plan } from '@uptide/rollout'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { write } from '../database.js'
import { openDatabase } from '../database.js'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { makeFleet, makeRollout, patchedOutcome, quickStrategy } from '../testing/fleet.js'
import { openSql, type Sql } from '../testing/sql.js'

let database: FreshDatabase
let store: Store
let sql: Sql

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 16 })
  sql = await openSql(database.url)
})
afterAll(async () => {
  await sql.close()
  await store.close()
  await database.drop()
})

/** Mulberry32: the same seed gives the same run of choices. */
function dice(seed: number): (sides: number) => number {
  let at = seed
  return (sides) => {
    at = (at + 0x6d2b79f5) | 0
    let t = Math.imul(at ^ (at >>> 15), 1 | at)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % sides
  }
}

const reading = patchedOutcome.kind === 'patched' ? patchedOutcome.reading : null!
const outcomes: readonly Outcome[] = [
  patchedOutcome, patchedOutcome, patchedOutcome, { kind: 'healthy', reading },
  { kind: 'failed', code: 'CONTACT_LOST', detail: '', touched: 'yes' }, { kind: 'failed', code: 'NO_SPACE', detail: '', touched: 'no' }, { kind: 'failed', code: 'KERNEL_MISMATCH', detail: '', touched: 'no' },
  { kind: 'stalled', reading, tasks: { moved: 90, all: 91 }, blockers: [{ tid: 7, pid: 7, comm: 'sleeper', kernelTask: false, state: 'S', stack: ['nanosleep+0x1/0x2'] }], transitionAgeMs: 60_000 },
  { kind: 'skipped', code: 'WRONG_KERNEL', detail: '' }, { kind: 'reverted', reading, transitionMs: 3, already: false },
]

async function work(roll: (sides: number) => number, attemptId: string, owner: string): Promise<void> {
  const claim = await store.claimAttempt(attemptId, owner, roll(8) === 0 ? 1 : 10_000)
  if (!claim.ok || roll(12) === 0) return
  const { fencingToken, target } = claim.brief
  const phases = (['staging', 'loading', 'transitioning'] as const).slice(0, roll(4))
  for (const to of phases) {
    const [kept] = await store.commitReports([{ at: 'phase', attemptId, fencingToken, to, step: to, ...(to === 'loading' ? { touched: true } : {}) }], owner)
    if (!kept) return
    await store.noteProgress([{ targetId: target.id, progress: { moved: roll(100), all: 100, transitionAgeMs: roll(9_999), at: 1 } }])
  }
  // A stall is seen only once the transition runs, as drivers do.
  const possible = outcomes.filter((one) => one.kind !== 'stalled' || phases.length === 3 || target.state === 'stalled' || target.state === 'transitioning')
  await store.commitReports([{ at: 'end', attemptId, fencingToken, outcome: possible[roll(possible.length)]!, step: 'end' }], owner)
}

const countsOf = () => sql.query<{ wave_id: string; build_id: string; state: string; n: number }>('SELECT wave_id, build_id, state, count(*)::int AS n FROM targets WHERE wave_id IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3')
const keptCounts = () => sql.query('SELECT wave_id, build_id, state, n FROM wave_counts WHERE n <> 0 ORDER BY 1, 2, 3')

describe('under random traffic of reconcilers, workers and operators', () => {
  const seed = Number(process.env['UPTIDE_SEED'] ?? Date.now() % 2 ** 31)
  it(`the kept counts are the counts, the chain is whole, and no host had two open attempts (seed ${seed})`, async () => {
    const fleet = await makeFleet(store, 40, sql)
    const strategy = { ...quickStrategy, stall: { ...quickStrategy.stall, intervalMs: 1, intervalMaxMs: 2 } }
    const rollouts = [await makeRollout(store, fleet, { strategy, canary: 40 }), await makeRollout(store, fleet, { strategy, canary: 40, hosts: [...fleet.hosts].reverse() })]
    const open: string[] = []
    const until = Date.now() + 6_000
    const errors: unknown[] = []
    const actor = async (nth: number, act: (roll: (sides: number) => number) => Promise<void>): Promise<void> => {
      const roll = dice(seed + nth)
      while (Date.now() < until) {
        try { await act(roll) } catch (error) { errors.push(error) }
        await sleep(roll(5))
      }
    }
    const reconciler = async (roll: (sides: number) => number): Promise<void> => {
      const view = await store.loadRolloutView(rollouts[roll(2)]!)
      if (view) open.push(...(await store.commitPlan(view, plan(view, await store.now()), 'reconcile')).toRing)
    }
    const worker = (owner: string) => async (roll: (sides: number) => number): Promise<void> => {
      const attemptId = open.splice(roll(Math.max(1, open.length)), 1)[0]
      if (attemptId) await work(roll, attemptId, owner)
      if (roll(5) === 0) await store.renewLeases(owner, 10_000)
    }
    const operator = async (roll: (sides: number) => number): Promise<void> => {
      await sleep(200 + roll(300))
      await store.actOnRollout(rollouts[roll(2)]!, (['hold', 'resume', 'resume'] as const)[roll(3)]!, 'token:ops')
      await store.revertHosts(rollouts[roll(2)]!, [fleet.hosts[roll(40)]!.name], 'token:ops')
    }
    await Promise.all([actor(1, reconciler), actor(2, reconciler), ...Array.from({ length: 6 }, (_, i) => actor(10 + i, worker(`w${i}`))), actor(30, operator)])
    expect([...new Set(errors.map(String))]).toEqual([])
    const counted = await countsOf()
    expect(await keptCounts()).toEqual(counted)
    expect(new Set(counted.map((row) => row.state)).size, 'the traffic moved something').toBeGreaterThan(2)
    expect(await store.verifyEvents()).toMatchObject({ ok: true })
    expect(await sql.query(`SELECT host_id FROM attempts a JOIN attempts b USING (host_id) WHERE a.id < b.id AND tstzrange(a.ordered_at, a.ended_at) && tstzrange(b.ordered_at, b.ended_at)`)).toEqual([])
    // Every state that a target was in has its event (law 3): the last one told is the one it is in.
    const told = await sql.query<{ state: string; last: string }>(`
      SELECT t.state, (SELECT e.data->>'to' FROM events e WHERE e.target_id = t.id AND e.data ? 'to' ORDER BY seq DESC LIMIT 1) AS last
      FROM targets t WHERE t.state NOT IN ('pending', 'checking', 'cancelled')`)
    for (const row of told) expect(row.last).toBe(row.state)
  })

  it('a deadlock is tried again, and both writers have their way', async () => {
    const db = openDatabase(database.url, 4)
    const [a, b] = (await makeFleet(store, 2, sql)).hosts
    let runs = 0
    const lockBoth = (first: string, second: string) => write(db, 'token:spec', async ({ tx }) => {
      runs += 1
      await tx.$executeRaw`UPDATE hosts SET port = port + 1 WHERE id = ${first}::uuid`
      await sleep(200)
      await tx.$executeRaw`UPDATE hosts SET port = port + 1 WHERE id = ${second}::uuid`
    })
    await Promise.all([lockBoth(a!.id, b!.id), lockBoth(b!.id, a!.id)])
    await db.close()
    expect(runs).toBeGreaterThan(2)
    expect(await sql.query('SELECT port FROM hosts WHERE id = ANY($1)', [[a!.id, b!.id]])).toEqual([{ port: 24 }, { port: 24 }])
  })
})
