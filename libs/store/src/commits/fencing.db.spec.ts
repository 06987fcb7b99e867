import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../open.js'
import type { AttemptBrief, Report } from '../port.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { bootId, fleetKernel, makeFleet, makeRollout, patchedOutcome, reconcile } from '../testing/fleet.js'
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

const expire = (attemptId: string) => sql.query(`UPDATE leases SET expires_at = now() - interval '1 ms' WHERE attempt_id = $1`, [attemptId])

async function claimed(attemptId: string, owner: string): Promise<AttemptBrief> {
  const claim = await store.claimAttempt(attemptId, owner, leaseMs)
  if (!claim.ok) throw new Error(`not claimed: ${claim.why}`)
  return claim.brief
}

/** One host in a rollout of its own, with its first attempt ordered. */
async function oneOrdered(): Promise<{ rolloutId: string; attemptId: string; hostId: string }> {
  const fleet = await makeFleet(store, 1, sql)
  const rolloutId = await makeRollout(store, fleet)
  const [attemptId] = await reconcile(store, rolloutId)
  return { rolloutId, attemptId: attemptId!, hostId: fleet.hosts[0]!.id }
}

const end = (brief: AttemptBrief): Report => ({ at: 'end', attemptId: brief.attemptId, fencingToken: brief.fencingToken, outcome: patchedOutcome, step: 'verify' })

describe('a claim', () => {
  it('is had by one of many workers that were handed the same attempt', async () => {
    const { attemptId } = await oneOrdered()
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => store.claimAttempt(attemptId, `w${i}`, leaseMs)))
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1)
    for (const answer of answers) if (!answer.ok) expect(['gone', 'busy']).toContain(answer.why)
    expect((await store.listEvents({ kind: 'target.checking' }, { limit: 10 })).items).toHaveLength(1)
  })

  it('shares its transaction with the claims of the same moment, each granted or refused by itself', async () => {
    const fleet = await makeFleet(store, 20, sql)
    const rolloutId = await makeRollout(store, fleet, { canary: fleet.hosts.length })
    const ordered = await reconcile(store, rolloutId)
    const taken = await claimed(ordered[0]!, 'early')
    const asks = [...ordered, ordered[1]!, 'nonsense']
    const answers = await Promise.all(asks.map((id) => store.claimAttempt(id, 'many', leaseMs)))
    expect(taken.attemptId).toBe(ordered[0])
    expect(answers.map((answer) => (answer.ok ? answer.brief.attemptId : answer.why))).toEqual(['gone', ...ordered.slice(1), 'gone', 'unknown-attempt'])
    // All were asked in the same turn.
    const [row] = await sql.query<{ n: number }>(`SELECT count(DISTINCT xmin::text)::int AS n FROM attempts WHERE owner = 'many'`)
    expect(row?.n).toBe(1)
  })

  it('brings everything that the attempt needs, and moves the target on', async () => {
    const { attemptId, hostId } = await oneOrdered()
    const brief = await claimed(attemptId, 'w')
    expect(brief).toMatchObject({
      attemptId, kind: 'apply', number: 1, fencingToken: 1n,
      target: { state: 'checking', touched: false, bootIdBefore: null, loadedAt: null, waveIndex: 0 },
      host: { id: hostId, address: '127.0.0.1', gateMode: 'zero-install' },
      build: { kernelRelease: fleetKernel, objects: [{ name: 'vmlinux', functions: ['cmdline_proc_show'] }] },
    })
    expect(brief.leaseUntil - (await store.now())).toBeGreaterThan(leaseMs - 5_000)
    expect(Buffer.from((await store.loadArtefact(brief.build.sha256))!)).toHaveLength(brief.build.sizeBytes)
    expect(await store.loadCredential(brief.host.credentialId)).toMatchObject({ kind: 'ssh-key', keyVersion: 1 })
  })

  it('is refused for an attempt that nobody knows, and for one that has ended', async () => {
    const { attemptId } = await oneOrdered()
    expect(await store.claimAttempt('01890000-0000-7000-8000-000000000000', 'w', leaseMs)).toEqual({ ok: false, why: 'unknown-attempt' })
    expect(await store.claimAttempt("'; DROP TABLE leases; --", 'w', leaseMs)).toEqual({ ok: false, why: 'unknown-attempt' })
    const brief = await claimed(attemptId, 'w')
    expect(await store.commitReports([end(brief)], 'w')).toEqual([true])
    expect(await store.claimAttempt(attemptId, 'w', leaseMs)).toEqual({ ok: false, why: 'gone' })
  })

  it('is refused while the rollout is held: what was ordered and has not begun does not begin', async () => {
    const { rolloutId, attemptId } = await oneOrdered()
    await store.actOnRollout(rolloutId, 'hold', 'token:ops')
    expect(await store.claimAttempt(attemptId, 'w', leaseMs)).toEqual({ ok: false, why: 'held' })
    await store.actOnRollout(rolloutId, 'resume', 'token:ops')
    expect(await store.claimAttempt(attemptId, 'w', leaseMs)).toMatchObject({ ok: true })
  })

  it('gets a larger token each time a host changes hands', async () => {
    const { rolloutId, attemptId } = await oneOrdered()
    const first = await claimed(attemptId, 'a')
    await store.commitReports([end(first)], 'a')
    const [look] = await reconcile(store, rolloutId)
    const second = await claimed(look!, 'b')
    expect(second.fencingToken).toBe(first.fencingToken + 1n)
  })
})

describe('the fence', () => {
  it('lets nothing through from a worker whose lease has expired', async () => {
    const { attemptId } = await oneOrdered()
    const brief = await claimed(attemptId, 'w')
    await expire(attemptId)
    const before = await store.lastSeq()
    expect(await store.commitReports([{ at: 'phase', attemptId, fencingToken: brief.fencingToken, to: 'staging', step: 'stage' }, end(brief)], 'w')).toEqual([false, false])
    expect(await store.lastSeq()).toBe(before)
    expect(await store.renewLeases('w', leaseMs)).not.toContain(attemptId)
  })

  it('lets nothing through with an old token, another owner or a foreign attempt', async () => {
    const { attemptId } = await oneOrdered()
    const brief = await claimed(attemptId, 'w')
    expect(await store.commitReports([{ ...end(brief), fencingToken: brief.fencingToken + 1n }], 'w')).toEqual([false])
    expect(await store.commitReports([end(brief)], 'another')).toEqual([false])
    expect(await store.commitReports([{ ...end(brief), attemptId: '01890000-0000-7000-8000-000000000000' }], 'w')).toEqual([false])
    expect(await store.commitReports([end(brief)], 'w')).toEqual([true])
    expect(await store.commitReports([end(brief)], 'w')).toEqual([false])
  })

  it('keeps a zombie out after its attempt was abandoned and the host was given to another worker', async () => {
    const { rolloutId, attemptId, hostId } = await oneOrdered()
    const zombie = await claimed(attemptId, 'zombie')
    await store.commitReports([{ at: 'phase', attemptId, fencingToken: zombie.fencingToken, to: 'staging', step: 'stage' }, { at: 'phase', attemptId, fencingToken: zombie.fencingToken, to: 'loading', step: 'load', touched: true }], 'zombie')
    await expire(attemptId)
    const [next] = await reconcile(store, rolloutId)
    const heir = await claimed(next!, 'heir')
    expect(heir.fencingToken).toBeGreaterThan(zombie.fencingToken)
    expect(heir.target).toMatchObject({ touched: true })
    expect(await store.commitReports([end(zombie)], 'zombie')).toEqual([false])
    expect(await store.commitReports([end(heir)], 'heir')).toEqual([true])
    expect(await sql.query('SELECT token::int FROM leases WHERE host_id = $1', [hostId])).toEqual([{ token: Number(heir.fencingToken) }])
  })

  it('renews what a worker still holds, in one statement, and names nothing else', async () => {
    const fleet = await makeFleet(store, 3, sql)
    const rolloutId = await makeRollout(store, fleet, { canary: fleet.hosts.length })
    const ordered = await reconcile(store, rolloutId)
    expect(ordered).toHaveLength(3)
    for (const id of ordered) await claimed(id, 'holder')
    await expire(ordered[0]!)
    expect([...await store.renewLeases('holder', leaseMs)].sort()).toEqual(ordered.slice(1).sort())
    expect(await store.renewLeases('nobody', leaseMs)).toEqual(new Set())
    expect(await store.renewLeases('holder', leaseMs, ordered.slice(0, 2))).toEqual(new Set([ordered[1]]))
  })

  it('falls at once when a worker hands an attempt back: reconcile gives the host to another', async () => {
    const { rolloutId, attemptId } = await oneOrdered()
    const brief = await claimed(attemptId, 'leaving')
    await store.releaseLeases('somebody else', [attemptId])
    expect(await store.renewLeases('leaving', leaseMs)).toContain(attemptId)
    await store.releaseLeases('leaving', [attemptId])
    expect(await store.renewLeases('leaving', leaseMs)).not.toContain(attemptId)
    expect(await store.commitReports([end(brief)], 'leaving')).toEqual([false])
    const view = await store.loadRolloutView(rolloutId)
    expect(view?.active).toMatchObject([{ attempt: { id: attemptId, state: 'running', leaseExpired: true } }])
  })
})

describe('a group commit', () => {
  it('writes 500 reports in one transaction, those that are fenced off apart', async () => {
    const fleet = await makeFleet(store, 500, sql)
    const rolloutId = await makeRollout(store, fleet, { canary: fleet.hosts.length })
    const ordered = await reconcile(store, rolloutId)
    expect(ordered).toHaveLength(500)
    const briefs: AttemptBrief[] = []
    for (let from = 0; from < 500; from += 50) briefs.push(...await Promise.all(ordered.slice(from, from + 50).map((id) => claimed(id, 'big'))))
    const late = briefs.filter((_, i) => i % 10 === 0)
    await sql.query(`UPDATE leases SET expires_at = now() - interval '1 ms' WHERE attempt_id = ANY($1)`, [late.map((brief) => brief.attemptId)])
    const before = await store.lastSeq()
    const answers = await store.commitReports(briefs.map(end), 'big')
    expect(answers).toEqual(briefs.map((_, i) => i % 10 !== 0))
    expect(await sql.query(`SELECT count(DISTINCT xmin::text)::int AS n FROM attempts WHERE owner = 'big' AND state = 'done'`)).toEqual([{ n: 1 }])
    expect(BigInt(await store.lastSeq()) - BigInt(before)).toBe(450n)
    expect(await sql.query('SELECT state, count(*)::int AS n FROM attempts WHERE owner = $1 GROUP BY 1 ORDER BY 1', ['big'])).toEqual([{ state: 'done', n: 450 }, { state: 'running', n: 50 }])
  })

  it('records what a hostile host says as a failure of that host, and the others are written', async () => {
    const fleet = await makeFleet(store, 4, sql)
    const rolloutId = await makeRollout(store, fleet, { canary: fleet.hosts.length })
    const briefs = await Promise.all((await reconcile(store, rolloutId)).map((id) => claimed(id, 'w')))
    const reading = { moduleState: 'ACTIVE\u0000\ud800', bootId, kernelRelease: fleetKernel, taint: 1e300, loaded: ['x'] }
    const [honest, strange, huge, nul] = briefs
    expect(await store.commitReports([
      end(honest!),
      { ...end(strange!), outcome: { kind: 'healthy', reading } } as Report,
      { ...end(huge!), outcome: { kind: 'failed', code: 'PROTOCOL', detail: 'x'.repeat(5_000_000), touched: 'no' } } as Report,
      { ...end(nul!), outcome: { kind: 'failed', code: 'HOST_KEY_CHANGED', detail: 'a\u0000b', touched: 'no' }, step: 'he\u0000llo' } as Report,
    ], 'w')).toEqual([true, true, true, true])
    const rows = await sql.query<{ outcome: object; step: string }>('SELECT outcome, step FROM attempts WHERE id = ANY($1) ORDER BY array_position($1, id)', [briefs.map((brief) => brief.attemptId)])
    const unreadable = { kind: 'failed', code: 'PROTOCOL', detail: 'What the host reported cannot be recorded.', touched: 'unknown' }
    expect(rows.map((row) => row.outcome)).toEqual([patchedOutcome, unreadable, unreadable, { kind: 'failed', code: 'HOST_KEY_CHANGED', detail: 'ab', touched: 'no' }])
    expect(await store.findHostById(nul!.host.id)).toMatchObject({ state: 'quarantined', reason: { code: 'HOST_KEY_CHANGED' } })
    expect((await store.listEvents({ kind: 'host.quarantined' }, { limit: 5 })).items).toHaveLength(1)
  })

  it('takes several reports of one attempt in their order, and never lets a worker end a target itself', async () => {
    const { attemptId, hostId } = await oneOrdered()
    const brief = await claimed(attemptId, 'w')
    const phase = (to: 'staging' | 'loading' | 'succeeded' | 'failed', more: object = {}): Report => ({ at: 'phase', attemptId, fencingToken: brief.fencingToken, to, step: to, ...more })
    expect(await store.commitReports([phase('staging', { bootId }), phase('loading', { touched: true }), phase('failed'), phase('succeeded')], 'w')).toEqual([true, true, true, true])
    expect(await sql.query('SELECT state, touched, boot_id_before, loaded_at IS NOT NULL AS loaded FROM targets WHERE host_id = $1', [hostId])).toEqual([{ state: 'loading', touched: true, boot_id_before: bootId, loaded: true }])
    const facts = { kernelRelease: fleetKernel, kernelBuildId: 'abc123', arch: 'x86_64', bootId, mechanism: 'klp-consistency', features: { transitionFile: 'yes' }, taint: 0, loaded: [] }
    expect(await store.commitReports([{ ...end(brief), facts } as Report], 'w')).toEqual([true])
    expect(await store.findHostById(hostId)).toMatchObject({ state: 'reachable', kernelRelease: fleetKernel, kernelBuildId: 'abc123', bootId, mechanism: 'klp-consistency' })
  })

  it('keeps the last progress and a curve of at most 120 points', async () => {
    const { attemptId } = await oneOrdered()
    const brief = await claimed(attemptId, 'w')
    for (let i = 1; i <= 130; i++) await store.noteProgress([{ targetId: brief.target.id, progress: { moved: i, all: 200, transitionAgeMs: i * 1_000, at: i } }])
    const [row] = await sql.query<{ progress: object; curve: number[][] }>('SELECT progress, curve FROM targets WHERE id = $1', [brief.target.id])
    expect(row?.progress).toEqual({ moved: 130, all: 200, transitionAgeMs: 130_000, at: 130 })
    expect(row?.curve).toHaveLength(120)
    expect(row?.curve.at(-1)).toEqual([130_000, 130, 200])
    expect(row?.curve[0]).toEqual([1_000, 1, 200])
  })
})
