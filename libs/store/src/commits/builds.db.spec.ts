// Law 4 by build, in the database: one host of the fleet first, a halt that every rollout obeys, a person who releases it.
import type { Outcome } from '@uptide/rollout'
import { plan } from '@uptide/rollout'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { type Fleet, makeFleet, makeRollout, patchedOutcome, quickStrategy, reconcile } from '../testing/fleet.js'
import { openSql, refusalOf, type Sql } from '../testing/sql.js'

let database: FreshDatabase
let store: Store
let sql: Sql

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 6 })
  sql = await openSql(database.url)
})
afterAll(async () => {
  expect(await store.verifyEvents()).toMatchObject({ ok: true })
  await sql.close()
  await store.close()
  await database.drop()
})

const rebooted: Outcome = { kind: 'rebooted', bootIdBefore: 'boot-1', bootIdAfter: 'boot-2', touched: 'yes' }

async function end(attemptId: string, outcome: Outcome): Promise<void> {
  const claim = await store.claimAttempt(attemptId, 'w', 15_000)
  if (!claim.ok) throw new Error(`not claimed: ${claim.why}`)
  const { fencingToken, kind } = claim.brief
  for (const to of kind === 'apply' && outcome.kind !== 'skipped' ? (['staging', 'loading', 'transitioning'] as const) : []) {
    await store.commitReports([{ at: 'phase', attemptId, fencingToken, to, step: to, ...(to === 'loading' ? { touched: true } : {}) }], 'w')
  }
  expect(await store.commitReports([{ at: 'end', attemptId, fencingToken, outcome, step: 'end' }], 'w')).toEqual([true])
}

/** Patched, watched and well. @returns what is ordered next. */
async function succeed(rolloutId: string, attemptId: string): Promise<string[]> {
  await end(attemptId, patchedOutcome)
  const [look] = await reconcile(store, rolloutId)
  if (look === undefined) throw new Error('no look was ordered')
  await end(look, patchedOutcome)
  return reconcile(store, rolloutId)
}

const waitsOf = async (rolloutId: string): Promise<string[]> => {
  const view = await store.loadRolloutView(rolloutId)
  return view ? plan(view, await store.now()).waitingOn.map((one) => one.reason.code) : []
}
const halves = (fleet: Fleet): [Fleet['hosts'], Fleet['hosts']] => [fleet.hosts.slice(0, fleet.hosts.length / 2), fleet.hosts.slice(fleet.hosts.length / 2)]

describe('a build that no host has run yet', () => {
  it('goes to one host of the fleet, whatever the canary and however many rollouts, until that one has succeeded', async () => {
    const fleet = await makeFleet(store, 6)
    const [here, there] = halves(fleet)
    const first = await makeRollout(store, fleet, { hosts: here, canary: 3 })
    const second = await makeRollout(store, fleet, { hosts: there, canary: 3 })
    const ordered = await reconcile(store, first)
    expect(ordered).toHaveLength(1)
    expect(await reconcile(store, second)).toEqual([])
    expect(await waitsOf(first)).toEqual(['attempt-ordered', 'first-use'])
    expect(await waitsOf(second)).toEqual(['first-use'])
    expect(await succeed(first, ordered[0]!)).toHaveLength(2)
    expect(await reconcile(store, second)).toHaveLength(3)
    expect(await sql.query(`SELECT count(*)::int AS n FROM events WHERE kind = 'build.proven' AND data->>'buildId' = $1`, [fleet.buildId])).toEqual([{ n: 1 }])
  })

  it('is started once when two rollouts plan its first host at the same moment', async () => {
    const fleet = await makeFleet(store, 2)
    const ids = await Promise.all(fleet.hosts.map((host) => makeRollout(store, fleet, { hosts: [host] })))
    for (const id of ids) await sql.query(`UPDATE rollouts SET state = 'running' WHERE id = $1`, [id])
    for (const id of ids) await sql.query(`UPDATE waves SET state = 'running' WHERE rollout_id = $1`, [id])
    const views = await Promise.all(ids.map(async (id) => (await store.loadRolloutView(id))!))
    const now = await store.now()
    const done = await Promise.all(views.map((view) => store.commitPlan(view, plan(view, now), 'reconcile')))
    expect(done.map((one) => one.toRing.length).sort()).toEqual([0, 1])
    expect(done.map((one) => one.dropped).sort()).toEqual([0, 1])
  })

  it('has its canary in a later wave when every canary was skipped', async () => {
    const fleet = await makeFleet(store, 5, sql)
    const rollout = await makeRollout(store, fleet)
    const [canary] = await reconcile(store, rollout)
    await end(canary!, { kind: 'skipped', code: 'KERNEL_MISMATCH', detail: '' })
    const ordered = await reconcile(store, rollout)
    expect(ordered).toHaveLength(1)
    expect(await waitsOf(rollout)).toEqual(['attempt-ordered', 'first-use'])
    expect(await succeed(rollout, ordered[0]!)).toHaveLength(3)
  })
})

describe('a build that went bad in its canary', () => {
  it('stops, holds the rollout when nothing else is left, and goes on when a person resumes', async () => {
    const fleet = await makeFleet(store, 3, sql)
    const rollout = await makeRollout(store, fleet)
    const [canary] = await reconcile(store, rollout)
    await end(canary!, { kind: 'failed', code: 'SYMBOL_MISMATCH', detail: '', touched: 'no' })
    expect(await reconcile(store, rollout)).toEqual([])
    const row = await store.findRollout(rollout)
    expect(row).toMatchObject({ state: 'held', builds: [{ id: fleet.buildId, counts: { failed: 1, pending: 2 }, stopped: { code: 'ERRORS' }, halted: null }] })
    expect(await store.actOnRollout(rollout, 'resume', 'token:ops', 'one bad host')).toEqual({ ok: true })
    expect(await reconcile(store, rollout)).toHaveLength(1)
    expect((await store.findRollout(rollout))?.builds).toMatchObject([{ stopped: null }])
  })
})

describe('an artefact that harmed a host', () => {
  it('starts in no rollout any more, not even where a start was ordered already, until a person says why it may', async () => {
    const fleet = await makeFleet(store, 6, sql)
    const [here, there] = halves(fleet)
    const harmed = await makeRollout(store, fleet, { hosts: here, canary: 3, strategy: { ...quickStrategy, inFlightMax: 2 } })
    const other = await makeRollout(store, fleet, { hosts: there, canary: 3 })
    const [bad] = await reconcile(store, harmed)
    const elsewhere = await reconcile(store, other)
    expect(elsewhere).toHaveLength(3)
    await end(bad!, rebooted)
    await reconcile(store, harmed)

    // Ordered before the halt, and not begun: no worker may begin with it now, and the planner takes it back.
    expect(await store.claimAttempt(elsewhere[0]!, 'w', 15_000)).toEqual({ ok: false, why: 'held' })
    expect(await reconcile(store, other)).toEqual([])
    expect(await waitsOf(other)).toEqual(['artefact-halted'])

    const { items } = await store.listHalts(false, { limit: 10 })
    const halt = items.find((one) => one.rolloutId === harmed)!
    expect(halt).toMatchObject({ kernel: (await store.loadRolloutView(harmed))?.builds[0]?.kernel, reason: { code: 'REBOOTED' }, suspects: [{ host: halt.host, state: 'failed' }], releasedAt: null })
    expect(await store.releaseHalt(halt.id, 'token:ops', 'the host lost its power supply')).toEqual({ ok: true })
    expect(await store.releaseHalt(halt.id, 'token:ops', 'again')).toEqual({ ok: false, why: 'released' })
    expect(await store.findHalt(halt.id)).toMatchObject({ releasedBy: 'token:ops', releasedSays: 'the host lost its power supply' })
    expect(await reconcile(store, other)).toHaveLength(3)
  })

  it('can be released by nobody but a person with a reason, also behind the back of the API', async () => {
    const open = await sql.query<{ id: string }>('SELECT id FROM halts LIMIT 1')
    for (const [by, says] of [['reconcile', 'all is well'], ['worker:w1', 'all is well'], ['token:ops', '  ']]) {
      const refusal = await refusalOf(sql.query('UPDATE halts SET released_at = now(), released_by = $2, released_says = $3 WHERE id = $1', [open[0]?.id, by, says]))
      expect(refusal.message).toContain('halts_released_by_a_person')
    }
  })
})

describe('what hosts share', () => {
  const target = (fleet: Fleet, n: number, parts: object) => ({ hostId: fleet.hosts[n]!.id, hostName: fleet.hosts[n]!.name, buildId: fleet.buildId, ...parts })
  const rollOut = async (fleet: Fleet, targets: ReturnType<typeof target>[], strategy: object = {}): Promise<string> => {
    const made = await store.createRollout({ name: `shared-${Math.random()}`, patchId: fleet.patchId, strategy: { ...quickStrategy, ...strategy }, plan: {}, start: true, skipped: [], waves: [{ canary: true, targets }] }, 'token:spec')
    if (!made.ok) throw new Error('the rollout was not made')
    return made.id
  }

  it('never has two hosts of a quorum in flight, not in one rollout nor in two that plan at the same moment', async () => {
    const fleet = await makeFleet(store, 4, sql)
    const quorum = `etcd-${fleet.buildId}`
    const one = await rollOut(fleet, [target(fleet, 0, { quorum }), target(fleet, 1, { quorum })])
    const two = await rollOut(fleet, [target(fleet, 2, { quorum }), target(fleet, 3, {})])
    for (const id of [one, two]) await sql.query(`UPDATE rollouts SET state = 'running' WHERE id = $1`, [id])
    for (const id of [one, two]) await sql.query(`UPDATE waves SET state = 'running' WHERE rollout_id = $1`, [id])
    const views = [(await store.loadRolloutView(one))!, (await store.loadRolloutView(two))!]
    const now = await store.now()
    const done = await Promise.all(views.map((view) => store.commitPlan(view, plan(view, now), 'reconcile')))
    expect(done.reduce((sum, each) => sum + each.toRing.length, 0)).toBe(2)
    const started = await sql.query('SELECT count(*)::int AS n FROM targets WHERE quorum = $1 AND attempt_open', [quorum])
    expect(started).toEqual([{ n: 1 }])
    expect([...await waitsOf(one), ...await waitsOf(two)]).toContain('quorum')
  })

  it('goes on with hosts of other groups when one is full', async () => {
    const fleet = await makeFleet(store, 6, sql)
    const rack = (n: number, name: string) => target(fleet, n, { groups: [`rack=${name}`] })
    const id = await rollOut(fleet, [rack(0, 'a'), rack(1, 'a'), rack(2, 'a'), rack(3, 'b'), rack(4, 'b'), target(fleet, 5, {})], { inFlightMax: 4, groups: [{ label: 'rack', max: 1 }] })
    expect(await reconcile(store, id)).toHaveLength(3)
  })

  it('gives a host to the rollout of higher priority first', async () => {
    const fleet = await makeFleet(store, 1, sql)
    const low = await rollOut(fleet, [target(fleet, 0, {})])
    const high = await rollOut(fleet, [target(fleet, 0, {})], { priority: 80 })
    await sql.query(`UPDATE rollouts SET state = 'running' WHERE id = $1`, [high])
    expect(await reconcile(store, low)).toEqual([])
    expect(await waitsOf(low)).toEqual(['priority'])
    expect(await reconcile(store, high)).toHaveLength(1)
  })

  it('keeps all rollouts together to the limit of the installation', async () => {
    const fleet = await makeFleet(store, 8, sql)
    const [onTheWay] = await sql.query<{ n: number }>(`SELECT count(*)::int AS n FROM targets t WHERE attempt_open OR state IN ('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost')`)
    await store.setFleetLimit((onTheWay?.n ?? 0) + 3, 'token:ops')
    const ids = [await rollOut(fleet, [0, 1, 2, 3].map((n) => target(fleet, n, {}))), await rollOut(fleet, [4, 5, 6, 7].map((n) => target(fleet, n, {})))]
    const ordered = [...await reconcile(store, ids[0]!), ...await reconcile(store, ids[1]!)]
    await store.setFleetLimit(null, 'token:ops')
    expect(ordered.length).toBeGreaterThan(0)
    expect(ordered.length).toBeLessThanOrEqual(3)
    expect([...await reconcile(store, ids[0]!), ...await reconcile(store, ids[1]!), ...ordered]).toHaveLength(8)
  })
})
