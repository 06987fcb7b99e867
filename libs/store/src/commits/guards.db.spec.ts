import { edgeTables } from '@uptide/rollout'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newId } from '../ids.js'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { type Fleet, makeFleet, makeRollout } from '../testing/fleet.js'
import { openSql, refusalOf, type Sql } from '../testing/sql.js'

let database: FreshDatabase
let store: Store
let sql: Sql
let fleet: Fleet
let rolloutId: string
let targetId: string
let waveId: string

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 4 })
  sql = await openSql(database.url)
  fleet = await makeFleet(store, 2)
  rolloutId = await makeRollout(store, fleet)
  const [row] = await sql.query<{ id: string; wave_id: string }>('SELECT id, wave_id FROM targets WHERE rollout_id = $1 ORDER BY host_name', [rolloutId])
  targetId = row!.id
  waveId = row!.wave_id
})
afterAll(async () => {
  await sql.close()
  await store.close()
  await database.drop()
})

const attempt = (id: string, hostId: string, state = 'ordered') => sql.query('INSERT INTO attempts (id, target_id, host_id, kind, number, state) VALUES ($1, $2, $3, $4, 1, $5)', [id, targetId, hostId, 'apply', state])

describe('the database', () => {
  /** Brings a row to a state past the guard, which only a superuser in a replication role can. */
  async function put(table: string, id: string, state: string): Promise<void> {
    await sql.query(`SET session_replication_role = replica`)
    await sql.query(`UPDATE ${table} SET state = $1 WHERE id = $2`, [state, id])
    await sql.query(`SET session_replication_role = origin`)
  }

  const tables = { target: 'targets', rollout: 'rollouts', wave: 'waves', attempt: 'attempts' } as const
  for (const [entity, table] of Object.entries(tables) as [keyof typeof tables, string][]) {
    it(`lets ${entity}s move along the edges of their table and along no other`, async () => {
      const attemptId = newId()
      const sparePlace = newId()
      await sql.query(`INSERT INTO hosts (id, name, address, port, "user", gate_mode, host_key, credential_id) VALUES ($1, $2, '127.0.0.1', 22, 'root', 'installed', 'k', $3)`, [sparePlace, `spare-${entity}`, fleet.credentialId])
      await attempt(attemptId, sparePlace)
      const id = { target: targetId, rollout: rolloutId, wave: waveId, attempt: attemptId }[entity]
      const edges = edgeTables[entity] as Readonly<Record<string, readonly string[]>>
      for (const from of Object.keys(edges)) {
        for (const to of Object.keys(edges)) {
          if (from === to) continue
          await put(table, id, from)
          const move = sql.query(`UPDATE ${table} SET state = $1 WHERE id = $2`, [to, id])
          if (edges[from]?.includes(to)) await move
          else expect(await refusalOf(move)).toEqual({ code: 'UP001', message: `the ${entity} may not move from ${from} to ${to}` })
        }
      }
      await put(table, id, entity === 'attempt' ? 'done' : entity === 'rollout' ? 'running' : 'pending')
    })
  }

  it('takes no state that the tables do not know', async () => {
    expect(await refusalOf(attempt(newId(), fleet.hosts[1]!.id, 'flying'))).toMatchObject({ code: 'UP001', message: 'no attempt has the state flying' })
    expect(await refusalOf(sql.query('INSERT INTO targets (id, rollout_id, host_id, host_name, state) SELECT $1, rollout_id, $2, host_name, $3 FROM targets LIMIT 1', [newId(), fleet.hosts[0]!.id, 'flying']))).toMatchObject({ code: '23514' })
    expect(await refusalOf(sql.query(`UPDATE hosts SET state = 'flying'`))).toMatchObject({ code: '23514' })
  })

  it('keeps events as they were written: no change, no removal, no truncation, whoever asks', async () => {
    const before = await sql.query('SELECT * FROM events ORDER BY seq')
    expect(before.length).toBeGreaterThan(0)
    for (const text of ['UPDATE events SET principal = $$me$$', 'DELETE FROM events', 'DELETE FROM events WHERE seq = 1', 'TRUNCATE events', 'TRUNCATE events CASCADE']) {
      expect(await refusalOf(sql.query(text)), text).toMatchObject({ code: 'UP002' })
    }
    expect(await sql.query('SELECT * FROM events ORDER BY seq')).toEqual(before)
  })

  it('takes a second open attempt on a host from nobody', async () => {
    const hostId = fleet.hosts[0]!.id
    const first = newId()
    await attempt(first, hostId)
    expect(await refusalOf(attempt(newId(), hostId))).toMatchObject({ code: '23505' })
    await sql.query(`UPDATE attempts SET state = 'running' WHERE id = $1`, [first])
    expect(await refusalOf(attempt(newId(), hostId))).toMatchObject({ code: '23505' })
    await sql.query(`UPDATE attempts SET state = 'done' WHERE id = $1`, [first])
    await attempt(newId(), hostId)
  })

  it('takes a second build for the same kernel from nobody, and the same bytes for another kernel', async () => {
    const build = await store.findPatch('fix-1')
    const [one] = build!.builds
    const { objects, rollbackRisk, signature, ...row } = one!
    const again = { ...row, patchName: 'fix-1', bytes: new Uint8Array([1]), objects: [], rollbackRisk: { level: 'low', reasons: [] }, signature: { present: false, says: '' }, replace: 'no' as const, replaceSource: 'file' as const }
    expect([objects, rollbackRisk, signature].every(Boolean)).toBe(true)
    const { id: _id, sizeBytes: _size, createdAt: _at, ...fresh } = again
    expect(await store.addBuild(fresh, 'token:spec')).toEqual({ ok: false })
    expect(await store.addBuild({ ...fresh, kernelRelease: '6.1.0-30-amd64' }, 'token:spec')).toMatchObject({ ok: true })
    expect(await store.addBuild({ ...fresh, kernelBuildId: 'abcdef0123' }, 'token:spec')).toMatchObject({ ok: true })
  })
})
