// What a worker holds and writes, on a real database: leases that are renewed, lost, handed back; reports in groups.
import { setTimeout as sleep } from 'node:timers/promises'
import { openStore, type Report, type Store } from '@uptide/store'
import { freshDatabase, type FreshDatabase, makeFleet, makeRollout, openSql, reconcile, type Sql } from '@uptide/store/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { throughDoor } from '../testing/door.js'
import { until } from '../testing/until.js'
import { GroupCommit } from './group-commit.js'
import { Leases } from './leases.js'

const leaseMs = 600
let database: FreshDatabase
let store: Store
let sql: Sql
const stopping: Leases[] = []

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 4 })
  sql = await openSql(database.url)
})
afterEach(() => { for (const leases of stopping.splice(0)) leases.stop() })
afterAll(async () => {
  await sql.close()
  await store.close()
  await database.drop()
})

interface Claimed { readonly attemptId: string; readonly token: bigint }

/** So many hosts in one rollout, all of them claimed by `owner`. */
async function claimed(count: number, owner: string): Promise<Claimed[]> {
  const fleet = await makeFleet(store, count, sql)
  const rolloutId = await makeRollout(store, fleet, { canary: count })
  const ids = await reconcile(store, rolloutId)
  expect(ids).toHaveLength(count)
  return Promise.all(ids.map(async (id) => {
    const claim = await store.claimAttempt(id, owner, leaseMs)
    if (!claim.ok) throw new Error(`not claimed: ${claim.why}`)
    return { attemptId: id, token: claim.brief.fencingToken }
  }))
}

const keep = (on: Pick<Store, 'renewLeases' | 'releaseLeases'>, owner: string): Leases => {
  const leases = new Leases(on, owner, leaseMs)
  stopping.push(leases)
  return leases
}
const live = async (attemptId: string): Promise<boolean> => (await sql.query('SELECT 1 FROM leases WHERE attempt_id = $1 AND expires_at > now()', [attemptId])).length > 0

describe('a worker\'s lease', () => {
  it('outlasts its time while its attempt is held, and runs out when nobody holds it any more', async () => {
    const [kept, dropped] = await claimed(2, 'w-keeps')
    const leases = keep(store, 'w-keeps')
    const signal = leases.hold(kept?.attemptId ?? '')
    leases.hold(dropped?.attemptId ?? '')
    leases.release(dropped?.attemptId ?? '')
    await sleep(3 * leaseMs)
    expect(signal.aborted).toBe(false)
    expect([await live(kept?.attemptId ?? ''), await live(dropped?.attemptId ?? '')]).toEqual([true, false])
  })

  it('stops its attempt when another has taken it', async () => {
    const [one] = await claimed(1, 'w-loses')
    const leases = keep(store, 'w-loses')
    const signal = leases.hold(one?.attemptId ?? '')
    await sql.query('UPDATE leases SET owner = \'another\', token = token + 1 WHERE attempt_id = $1', [one?.attemptId])
    await until('the attempt is stopped', () => signal.aborted, leaseMs)
  })

  it('is free at once when it is handed back', async () => {
    const [one, other] = await claimed(2, 'w-hands-back')
    const leases = keep(store, 'w-hands-back')
    leases.hold(one?.attemptId ?? '')
    leases.hold(other?.attemptId ?? '')
    await leases.handBack(one?.attemptId ?? '')
    expect([await live(one?.attemptId ?? ''), await live(other?.attemptId ?? '')]).toEqual([false, true])
    await leases.handBack(other?.attemptId ?? '')
  })

  it('stops every attempt after its time when the database says nothing at all', async () => {
    const [one] = await claimed(1, 'w-in-the-dark')
    const door = await throughDoor(database.url)
    const dark = await openStore({ url: door.url, poolMax: 2 })
    const signal = keep(dark, 'w-in-the-dark').hold(one?.attemptId ?? '')
    await sleep(leaseMs / 2)
    expect(signal.aborted).toBe(false)
    door.freeze()
    const before = performance.now()
    await until('the attempt is stopped', () => signal.aborted, 3 * leaseMs)
    // Not before the lease is over (a renewal may have been under way), not long after.
    expect(performance.now() - before).toBeGreaterThan(leaseMs / 3)
    expect(performance.now() - before).toBeLessThan(2 * leaseMs)
    door.close()
    await dark.close().catch(() => {})
  })
})

describe('reports', () => {
  const report = (one: Claimed): Report => ({ at: 'end', attemptId: one.attemptId, fencingToken: one.token, step: 'survey', outcome: { kind: 'skipped', code: 'NOT_SUPPORTED', detail: 'for the spec' } })
  const counting = (): { store: Pick<Store, 'commitReports'>; sizes: number[] } => {
    const sizes: number[] = []
    return { sizes, store: { commitReports: (reports, owner) => { sizes.push(reports.length); return store.commitReports(reports, owner) } } }
  }

  it('that come together are written together', async () => {
    const all = await claimed(20, 'w-group')
    const { store: counted, sizes } = counting()
    const group = new GroupCommit(counted, 'w-group')
    expect(await Promise.all(all.map((one) => group.write(report(one))))).toEqual(all.map(() => true))
    expect(sizes).toEqual([20])
  })

  it('that come while a commit is under way go with the next one', async () => {
    const all = await claimed(9, 'w-next')
    const { store: counted, sizes } = counting()
    const group = new GroupCommit(counted, 'w-next')
    const first = group.write(report(all[0] as Claimed))
    await new Promise((done) => { setImmediate(() => { setImmediate(done) }) })
    expect(await Promise.all([first, ...all.slice(1).map((one) => group.write(report(one)))])).toEqual(all.map(() => true))
    expect(sizes).toEqual([1, 8])
  })

  it('that the database refuses do not take the others with them', async () => {
    const all = await claimed(7, 'w-poison')
    const group = new GroupCommit(store, 'w-poison')
    // No token is that large: the whole statement fails with it.
    const written = await Promise.allSettled(all.map((one, index) => group.write(report(index === 3 ? { ...one, token: 2n ** 70n } : one))))
    expect(written.map((one) => (one.status === 'fulfilled' ? one.value : 'refused'))).toEqual([true, true, true, 'refused', true, true, true])
    expect(await live((all[3] as Claimed).attemptId)).toBe(true)
  })

  it('of a worker that lost its lease are not written', async () => {
    const [one] = await claimed(1, 'w-late')
    await store.releaseLeases('w-late', [one?.attemptId ?? ''])
    expect(await new GroupCommit(store, 'w-late').write(report(one as Claimed))).toBe(false)
  })
})
