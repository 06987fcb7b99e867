// Four eyes, in the database: no door, not even plain SQL, leads past them.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { type Fleet, makeFleet, makeRollout, quickStrategy } from '../testing/fleet.js'
import { openSql, refusalOf, type Sql } from '../testing/sql.js'

let database: FreshDatabase
let store: Store
let sql: Sql
let fleet: Fleet
const hour = 3_600_000

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 4 })
  sql = await openSql(database.url)
  fleet = await makeFleet(store, 1, sql)
})
afterAll(async () => {
  expect(await store.verifyEvents()).toMatchObject({ ok: true })
  await sql.close()
  await store.close()
  await database.drop()
})

/** By token:spec, who makes every rollout of a spec. */
const waiting = (needed: number, expiresMs = hour): Promise<string> => makeRollout(store, fleet, { strategy: { ...quickStrategy, approvals: { needed, expiresMs } } })
const stateOf = async (id: string): Promise<string | undefined> => (await store.findRollout(id))?.state
const approve = (id: string, who: string, says = 'looked at it') => store.approveRollout(id, { verdict: 'approved', says }, `token:${who}`)

describe('a rollout that needs approvals', () => {
  it('starts when as many others as it asks for have approved, and keeps who and why', async () => {
    const id = await waiting(2)
    expect(await stateOf(id)).toBe('awaiting-approval')
    expect(await approve(id, 'ann')).toEqual({ ok: true, scheduled: false, valid: 1, needed: 2 })
    expect(await stateOf(id)).toBe('awaiting-approval')
    expect(await approve(id, 'bob', 'the canary is wide enough')).toEqual({ ok: true, scheduled: true, valid: 2, needed: 2 })
    expect(await store.findRollout(id)).toMatchObject({ state: 'scheduled', approvals: [{ principal: 'token:ann' }, { principal: 'token:bob', says: 'the canary is wide enough' }] })
  })

  it('takes no word from its author, none twice, none for another plan, and none when it waits for none', async () => {
    const id = await waiting(2)
    expect(await approve(id, 'spec')).toMatchObject({ ok: false, code: 'OWN_ROLLOUT' })
    await approve(id, 'ann')
    expect(await approve(id, 'ann')).toMatchObject({ ok: false, code: 'APPROVED_ALREADY' })
    expect(await store.approveRollout(id, { verdict: 'approved', says: 'fine', planHash: 'another' }, 'token:bob')).toMatchObject({ ok: false, code: 'PLAN_CHANGED' })
    expect(await approve(await makeRollout(store, fleet), 'ann')).toMatchObject({ ok: false, code: 'NOT_WAITING' })
  })

  it('is cancelled by one rejection, for good', async () => {
    const id = await waiting(1)
    expect(await store.approveRollout(id, { verdict: 'rejected', says: 'wrong week' }, 'token:ann')).toMatchObject({ ok: true, scheduled: false })
    expect(await store.findRollout(id)).toMatchObject({ state: 'cancelled', reason: { code: 'REJECTED', says: 'wrong week' } })
    expect(await approve(id, 'bob')).toMatchObject({ ok: false, code: 'NOT_WAITING' })
  })

  it('does not start by an act, a draft of it waits when it is started, and an approval that has expired is worth nothing', async () => {
    const id = await waiting(1)
    expect(await store.actOnRollout(id, 'start', 'token:spec')).toMatchObject({ ok: false })
    await sql.query(`INSERT INTO approvals (id, rollout_id, principal, verdict, plan_sha256, says, expires_at) SELECT gen_random_uuid(), id, 'token:old', 'approved', plan_sha256, 'long ago', now() - interval '1 second' FROM rollouts WHERE id = $1`, [id])
    expect((await refusalOf(sql.query(`UPDATE rollouts SET state = 'scheduled' WHERE id = $1`, [id]))).message).toContain('needs 1 approvals')
    const made = await store.createRollout({ name: 'a-draft', patchId: fleet.patchId, strategy: { ...quickStrategy, approvals: { needed: 1, expiresMs: hour } }, plan: {}, start: false, skipped: [], waves: [] }, 'token:spec')
    if (!made.ok) throw new Error('not made')
    expect(await store.actOnRollout(made.id, 'start', 'token:spec')).toEqual({ ok: true })
    expect(await stateOf(made.id)).toBe('awaiting-approval')
  })
})

describe('a closed window', () => {
  const scheduled = (): Promise<string> => makeRollout(store, fleet, { strategy: { ...quickStrategy, schedule: { startAt: Date.now() + hour, windows: [], blackouts: [] } } })

  it('is overridden by two people, for a while, with why', async () => {
    const id = await scheduled()
    expect(await store.overrideWindow(id, 'the exploit is public', hour, 'token:ann')).toEqual({ ok: true, until: null })
    expect((await store.loadRolloutView(id))?.overrideUntil).toBeNull()
    expect(await store.overrideWindow(id, 'me again', hour, 'token:ann')).toMatchObject({ ok: false, says: expect.stringContaining('somebody else') as string })
    const done = await store.overrideWindow(id, 'agreed', 60_000, 'token:bob')
    expect(done.ok && (done.until ?? 0) - Date.now()).toBeGreaterThan(hour - 60_000)
    expect((await store.loadRolloutView(id))?.overrideUntil).toBe(done.ok ? done.until : 0)
    expect(await store.overrideWindow(await makeRollout(store, fleet), 'why not', hour, 'token:ann')).toMatchObject({ ok: false, says: expect.stringContaining('no schedule') as string })
    expect((await refusalOf(sql.query(`UPDATE overrides SET confirmed_by = asked_by WHERE rollout_id = $1`, [id]))).message).toContain('overrides_by_two_people')
  })
})

describe('behind the back of the API', () => {
  const insert = (id: string, principal: string, plan = '(SELECT plan_sha256 FROM rollouts WHERE id = $1)') =>
    sql.query(`INSERT INTO approvals (id, rollout_id, principal, verdict, plan_sha256, says, expires_at) VALUES (gen_random_uuid(), $1, $2, 'approved', ${plan}, 'looked at it', now() + interval '1 hour')`, [id, principal])

  it('no rollout is scheduled, run or made without its approvals', async () => {
    const id = await waiting(1)
    expect((await refusalOf(sql.query(`UPDATE rollouts SET state = 'scheduled' WHERE id = $1`, [id]))).message).toContain('needs 1 approvals by others than its author')
    expect((await refusalOf(sql.query(`INSERT INTO rollouts (id, name, kind, patch_id, strategy, plan, state, created_by) SELECT gen_random_uuid(), 'straight', 'patch', patch_id, strategy, plan, 'scheduled', created_by FROM rollouts WHERE id = $1`, [id]))).message).toContain('needs 1 approvals')
  })

  it('nobody approves their own, twice, as a machine, or a plan that does not stand', async () => {
    const id = await waiting(2)
    expect((await refusalOf(insert(id, 'token:spec'))).message).toContain('nobody approves a rollout of their own')
    expect((await refusalOf(insert(id, 'reconcile'))).message).toContain('approvals_by_people')
    expect((await refusalOf(insert(id, 'token:ann', `'another'`))).message).toContain('the plan is another one')
    await insert(id, 'token:ann')
    expect((await refusalOf(insert(id, 'token:ann'))).message).toContain('approvals_one_each')
  })

  it('a changed plan or strategy voids what was approved, and approvals are neither changed nor deleted', async () => {
    const id = await waiting(2)
    await insert(id, 'token:ann')
    expect((await refusalOf(sql.query(`UPDATE approvals SET principal = 'token:eve' WHERE rollout_id = $1`, [id]))).message).toContain('can only be voided')
    expect((await refusalOf(sql.query('DELETE FROM approvals WHERE rollout_id = $1', [id]))).message).toContain('never deleted')
    await sql.query(`UPDATE rollouts SET strategy = jsonb_set(strategy, '{inFlightMax}', '9999') WHERE id = $1`, [id])
    expect(await sql.query('SELECT count(*)::int AS n FROM approvals WHERE rollout_id = $1 AND voided_at IS NULL', [id])).toEqual([{ n: 0 }])
    await insert(id, 'token:ann')
    await sql.query(`UPDATE rollouts SET plan_sha256 = 'changed' WHERE id = $1`, [id])
    expect(await sql.query('SELECT count(*)::int AS n FROM approvals WHERE rollout_id = $1 AND voided_at IS NULL', [id])).toEqual([{ n: 0 }])
  })

  it('the strategy of a rollout that runs is not loosened', async () => {
    const id = await makeRollout(store, fleet)
    expect((await refusalOf(sql.query(`UPDATE rollouts SET strategy = '{}' WHERE id = $1`, [id]))).message).toContain('is not changed any more')
  })
})
