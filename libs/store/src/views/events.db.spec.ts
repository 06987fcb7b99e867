import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newId } from '../ids.js'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { openSql, type Sql } from '../testing/sql.js'

let database: FreshDatabase
let store: Store
let sql: Sql

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 20 })
  sql = await openSql(database.url)
})
afterAll(async () => {
  await sql.close()
  await store.close()
  await database.drop()
})

const addToken = (name: string) => store.addToken({ id: newId(), name, hash: Buffer.from(name) }, `token:${name}`)

describe('the chain of events', () => {
  it('is whole and without gaps when sixteen writers commit at once through two processes of ours', async () => {
    const second = await openStore({ url: database.url, poolMax: 8 })
    await Promise.all(Array.from({ length: 16 }, async (_, writer) => {
      const through = writer % 2 === 0 ? store : second
      for (let i = 0; i < 10; i++) await through.addToken({ id: newId(), name: `w${writer}-${i}`, hash: Buffer.from(`w${writer}-${i}`) }, `token:w${writer}`)
    }))
    await second.close()
    expect(await store.verifyEvents()).toMatchObject({ ok: true, count: 160, seq: '160' })
    expect(await sql.query('SELECT min(seq)::int AS first, max(seq)::int AS last, count(*)::int AS n FROM events')).toEqual([{ first: 1, last: 160, n: 160 }])
  })

  it('holds no event of a transaction that was undone', async () => {
    const before = await store.lastSeq()
    expect(await addToken('w0-0')).toEqual({ ok: false })
    expect(await store.lastSeq()).toBe(before)
  })

  it('tells which event was changed by someone past the guard', async () => {
    await sql.query(`SET session_replication_role = replica`)
    await sql.query(`UPDATE events SET data = jsonb_set(data, '{name}', '"mallory"') WHERE seq = 77`)
    expect(await store.verifyEvents()).toMatchObject({ ok: false, seq: '77', code: 'CHANGED' })
    await sql.query('DELETE FROM events WHERE seq = 77')
    expect(await store.verifyEvents()).toMatchObject({ ok: false, seq: '78', code: 'GAP' })
    await sql.query(`SET session_replication_role = origin`)
  })

  it('is read in pages by number, and by what it is about', async () => {
    const first = await store.listEvents({}, { limit: 50 })
    expect(first.items.map((event) => event.seq)).toEqual(Array.from({ length: 50 }, (_, i) => String(i + 1)))
    const next = await store.listEvents({}, { limit: 50, after: first.next! })
    expect(next.items[0]?.seq).toBe('51')
    expect((await store.listEvents({ kind: 'token.revoked' }, { limit: 10 })).items).toEqual([])
    await store.revokeToken('w1-1', 'token:w2-2')
    expect((await store.listEvents({ kind: 'token.revoked' }, { limit: 10 })).items).toMatchObject([{ principal: 'token:w2-2', data: { name: 'w1-1' } }])
  })
})

describe('a listener', () => {
  it('is woken by every commit with events, and again after its connection was cut', async () => {
    const seen: string[] = []
    const stop = store.listen((channel, payload) => { seen.push(`${channel} ${payload}`) })
    const until = async (done: () => boolean): Promise<void> => {
      const limit = Date.now() + 15_000
      while (!done()) {
        if (Date.now() > limit) throw new Error(`not woken; heard ${seen.join(', ')}`)
        await sleep(20)
      }
    }
    await until(() => seen.includes('uptide_progress '))
    await addToken('heard')
    const seq = await store.lastSeq()
    await until(() => seen.includes(`uptide_events ${seq}`))

    seen.length = 0
    await sql.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'uptide-listen' AND datname = current_database()`)
    await addToken('meanwhile')
    // Whatever was missed: after a reconnect everyone is told to look.
    await until(() => seen.includes('uptide_events '))
    await addToken('afterwards')
    await until(() => seen.some((one) => /uptide_events \d/.test(one)))
    await stop()
  })
})
