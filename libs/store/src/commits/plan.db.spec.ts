import { plan } from '@uptide/rollout'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { makeFleet, makeRollout, patchedOutcome, quickStrategy, reconcile } from '../testing/fleet.js'
import { openSql, type Sql } from '../testing/sql.js'

let database: FreshDatabase
let store: Store
let sql: Sql
const leaseMs = 15_000

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 10 })
  sql = await openSql(database.url)
})
afterAll(async () => {
  expect(await store.verifyEvents()).toMatchObject({ ok: true })
  await sql.close()
  await store.close()
  await database.drop()
})

async function carryOut(attemptId: string, owner = 'w'): Promise<void> {
  const claim = await store.claimAttempt(attemptId, owner, leaseMs)
  if (!claim.ok) throw new Error(`not claimed: ${claim.why}`)
  const { fencingToken } = claim.brief
  const phases = claim.brief.kind === 'apply' ? (['staging', 'loading', 'transitioning'] as const) : []
  for (const to of phases) {
    expect(await store.commitReports([{ at: 'phase', attemptId, fencingToken, to, step: to, ...(to === 'loading' ? { touched: true } : {}) }], owner)).toEqual([true])
  }
  const outcome = claim.brief.kind === 'apply' ? patchedOutcome : { kind: 'healthy', reading: patchedOutcome.kind === 'patched' ? patchedOutcome.reading : never() } as const
  expect(await store.commitReports([{ at: 'end', attemptId, fencingToken, outcome, step: 'end' }], owner)).toEqual([true])
}
const never = (): never => { throw new Error('unreachable') }

describe('a rollout', () => {
  it('goes from the first wave to success through plans, claims and reports alone', async () => {
    const fleet = await makeFleet(store, 4, sql)
    const id = await makeRollout(store, fleet)
    for (let round = 0; round < 40; round++) {
      for (const attemptId of await reconcile(store, id)) await carryOut(attemptId)
      if ((await store.findRollout(id))?.state === 'succeeded') break
    }
    expect(await store.findRollout(id)).toMatchObject({ state: 'succeeded', waves: [{ canary: true, state: 'passed', counts: { succeeded: 1 } }, { state: 'passed', counts: { succeeded: 3 } }] })
    const targets = await store.listTargets(id, {}, { limit: 10 })
    for (const target of targets.items) {
      expect(target).toMatchObject({ state: 'succeeded', transitionMs: 1_250, touched: true })
      expect(target.bootIdAfter).toBe(target.bootIdBefore)
      expect(target.settledAt).not.toBeNull()
    }
    const events = await store.listEvents({ rolloutId: id }, { limit: 500 })
    const moves = events.items.filter((event) => event.targetId === targets.items[0]!.id && event.kind.startsWith('target.')).map((event) => event.kind)
    expect(moves).toEqual(['target.checking', 'target.staging', 'target.loading', 'target.transitioning', 'target.patched', 'target.baking', 'target.succeeded'])
    expect(await store.liveRollouts()).not.toContain(id)
  })

  it('is decided by one of two reconcilers that planned the same view', async () => {
    const fleet = await makeFleet(store, 3, sql)
    const id = await makeRollout(store, fleet)
    const view = (await store.loadRolloutView(id))!
    const made = plan(view, await store.now())
    const answers = await Promise.all(Array.from({ length: 8 }, () => store.commitPlan(view, made, 'reconcile')))
    expect(answers.filter((answer) => answer.committed)).toHaveLength(1)
    expect((await store.listEvents({ rolloutId: id, kind: 'rollout.running' }, { limit: 10 })).items).toHaveLength(1)
  })

  it('is held by an operator while a plan is made: the plan is dropped whole', async () => {
    const fleet = await makeFleet(store, 3, sql)
    const id = await makeRollout(store, fleet)
    const view = (await store.loadRolloutView(id))!
    const made = plan(view, await store.now())
    expect(await store.actOnRollout(id, 'hold', 'token:ops')).toEqual({ ok: true })
    expect(await store.commitPlan(view, made, 'reconcile')).toEqual({ committed: false, toRing: [], dropped: 0 })
    expect(await store.findRollout(id)).toMatchObject({ state: 'held' })
    expect(await store.actOnRollout(id, 'hold', 'token:ops')).toMatchObject({ ok: false, says: expect.stringContaining('held') as string })
  })

  it('orders nothing on a host on which another rollout has an open attempt', async () => {
    const fleet = await makeFleet(store, 1, sql)
    const first = await makeRollout(store, fleet)
    const second = await makeRollout(store, fleet)
    const ordered = await reconcile(store, first)
    expect(ordered).toHaveLength(1)
    expect(await reconcile(store, second)).toEqual([])

    // The same, when the second one planned before the first had ordered: the index has the last word.
    const third = await makeRollout(store, fleet)
    await carryOut(ordered[0]!)
    await sql.query(`UPDATE rollouts SET state = 'running' WHERE id = $1`, [third])
    await sql.query(`UPDATE waves SET state = 'running' WHERE rollout_id = $1`, [third])
    const view = (await store.loadRolloutView(third))!
    const made = plan(view, await store.now())
    expect(made.decisions).toMatchObject([{ do: 'order-attempt' }])
    const racing = await reconcile(store, second)
    expect(racing).toHaveLength(1)
    expect(await store.commitPlan(view, made, 'reconcile')).toEqual({ committed: true, toRing: [], dropped: 1 })
  })

  it('drops the decision on a target that a worker has moved since the view was taken', async () => {
    const fleet = await makeFleet(store, 2, sql)
    const id = await makeRollout(store, fleet)
    const [attemptId] = await reconcile(store, id)
    await carryOut(attemptId!)
    const view = (await store.loadRolloutView(id))!
    const made = plan(view, await store.now())
    expect(made.decisions).toMatchObject([{ do: 'move-target', to: 'patched' }])
    await sql.query('UPDATE targets SET generation = generation + 1 WHERE rollout_id = $1', [id])
    expect(await store.commitPlan(view, made, 'reconcile')).toEqual({ committed: true, toRing: [], dropped: 1 })
    expect(await reconcile(store, id)).toHaveLength(1)
  })

  it('abandons the attempt of a worker that is gone, unless it came back first', async () => {
    const fleet = await makeFleet(store, 1, sql)
    const id = await makeRollout(store, fleet)
    const [attemptId] = await reconcile(store, id)
    expect((await store.claimAttempt(attemptId!, 'slow', 40)).ok).toBe(true)
    await sql.query('SELECT pg_sleep(0.08)')
    const view = (await store.loadRolloutView(id))!
    const made = plan(view, await store.now())
    expect(made.decisions).toMatchObject([{ do: 'abandon-attempt', attemptId }])
    // Renewed in between: by hand, since an expired lease is renewed by nobody.
    await sql.query(`UPDATE leases SET expires_at = now() + interval '1 minute' WHERE attempt_id = $1`, [attemptId])
    expect(await store.commitPlan(view, made, 'reconcile')).toMatchObject({ committed: true, dropped: 1 })
    await sql.query(`UPDATE leases SET expires_at = now() - interval '1 second' WHERE attempt_id = $1`, [attemptId])
    const ordered = await reconcile(store, id)
    expect(await sql.query('SELECT state FROM attempts WHERE id = $1', [attemptId])).toEqual([{ state: 'abandoned' }])
    expect(ordered.filter((one) => one !== attemptId).length).toBeLessThanOrEqual(1)
  })

  it('cancels what was not started: an attempt that no worker began is withdrawn, and one event tells the number', async () => {
    const fleet = await makeFleet(store, 6, sql)
    const id = await makeRollout(store, fleet)
    const [attemptId] = await reconcile(store, id)
    expect(await store.actOnRollout(id, 'cancel', 'token:ops', 'Wrong patch.')).toEqual({ ok: true })
    await reconcile(store, id)
    expect((await store.findRollout(id))?.waves.map((wave) => wave.counts)).toEqual([{ cancelled: 1 }, { cancelled: 5 }])
    expect(await store.claimAttempt(attemptId!, 'late', leaseMs)).toEqual({ ok: false, why: 'gone' })
    const told = await store.listEvents({ rolloutId: id, kind: 'rollout.pending-cancelled' }, { limit: 9 })
    expect(told.items.reduce((sum, event) => sum + Number(event.data['targets']), 0)).toBe(6)
    expect(told.items.length).toBeLessThanOrEqual(2)
  })

  it('that is cancelled while a worker begins either withdraws the attempt or lets it run, never both', async () => {
    for (let round = 0; round < 15; round++) {
      const fleet = await makeFleet(store, 1, sql)
      const id = await makeRollout(store, fleet)
      const [attemptId] = await reconcile(store, id)
      const stop = async (): Promise<void> => { await store.actOnRollout(id, 'cancel', 'token:ops'); await reconcile(store, id) }
      const [claim] = await Promise.all([store.claimAttempt(attemptId!, 'w', leaseMs), stop()])
      const [attempt] = await sql.query<{ state: string }>('SELECT state FROM attempts WHERE id = $1', [attemptId])
      expect(attempt?.state).toBe(claim.ok ? 'running' : 'abandoned')
    }
  })

  it('takes the patch back on the hosts that are named, and refuses the whole wish when one of them cannot', async () => {
    const fleet = await makeFleet(store, 2, sql)
    const id = await makeRollout(store, fleet, { strategy: quickStrategy })
    for (let round = 0; round < 40 && (await store.findRollout(id))?.state !== 'succeeded'; round++) for (const one of await reconcile(store, id)) await carryOut(one)
    const [first] = fleet.hosts
    expect(await store.revertHosts(id, [first!.name, 'nowhere'], 'token:ops')).toEqual({ ok: false, refused: [{ host: 'nowhere', says: 'nowhere is not part of this rollout.' }] })
    expect(await store.revertHosts(id, [first!.name], 'token:ops')).toEqual({ ok: true, reverted: 1 })
    expect(await store.liveRollouts()).toContain(id)
    const [attemptId] = await reconcile(store, id)
    const claim = await store.claimAttempt(attemptId!, 'w', leaseMs)
    expect(claim).toMatchObject({ ok: true, brief: { kind: 'revert', target: { state: 'reverting', touched: true } } })
  })
})
