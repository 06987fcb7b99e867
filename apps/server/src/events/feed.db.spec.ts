// The stream of events: what a client gets that comes late, comes back, reads slowly, or may not read any more.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { event } from '@uptide/contracts/api'
import { makeFleet } from '@uptide/store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApiPlane } from '../testing/api.js'
import { openStream, type Stream } from '../testing/sse.js'
import { until } from '../testing/until.js'

let api: Api
let patches = 0
beforeAll(async () => { api = await startApiPlane([]) })
afterAll(async () => { await api?.stop() })

const happen = async (times: number): Promise<string[]> => {
  const before = await api.store.lastSeq()
  for (let n = 0; n < times; n++) await api.store.addPatch({ name: `p-${++patches}`, title: 'A fix', description: '', cves: [], severity: 'low' }, 'token:spec')
  return Array.from({ length: times }, (_, n) => String(BigInt(before) + BigInt(n + 1)))
}
const ids = (stream: Stream) => stream.seen.filter((one) => one.kind === 'event').map((one) => one.id)
/** What this process holds after throwing away what it can. */
const heldBytes = (): number => {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
/** Opened and waiting: what happens from now on is new to it. */
async function fresh(query = '', init: { token?: string; headers?: Record<string, string> } = {}): Promise<Stream> {
  const stream = await openStream(api, query, init)
  expect(stream.status).toBe(200)
  return stream
}

describe('a stream', () => {
  it('without a place to go on from tells only what is new', async () => {
    await happen(3)
    const stream = await fresh()
    const wanted = await happen(2)
    await until('both are there', () => stream.seen.length >= 2)
    expect(ids(stream)).toEqual(wanted)
    for (const one of stream.seen) expect(event.strict().parse(one.data)).toMatchObject({ seq: one.id, kind: 'patch.added', principal: 'token:spec', hash: expect.stringMatching(/^[0-9a-f]{64}$/) })
    stream.close()
  })

  it('goes on where a client was, by header before query, and misses and doubles nothing', async () => {
    const wanted = await happen(3)
    const [first = ''] = wanted
    const stream = await fresh('?after=0', { headers: { 'last-event-id': first } })
    const later = await happen(20)
    await until('all are there', () => stream.seen.length >= 22)
    expect(ids(stream)).toEqual([...wanted.slice(1), ...later])
    stream.close()
    const nonsense = await fresh(`?after=${later.at(-2)}`, { headers: { 'last-event-id': 'x; DROP' } })
    await until('the query counts then', () => nonsense.seen.length >= 1)
    expect(ids(nonsense)).toEqual([later.at(-1)])
    nonsense.close()
  })

  it('gives every client the same, in order, while many write at once', async () => {
    const from = await api.store.lastSeq()
    const streams = await Promise.all(Array.from({ length: 10 }, () => fresh(`?after=${from}`)))
    await Promise.all(Array.from({ length: 60 }, (_, n) => api.call('patch.add', { body: { name: `many-${n}`, title: 'A fix' } })))
    await until('all have all', () => streams.every((one) => one.seen.length >= 60))
    const wanted = Array.from({ length: 60 }, (_, n) => String(BigInt(from) + BigInt(n + 1)))
    for (const stream of streams) { expect(ids(stream)).toEqual(wanted); stream.close() }
  })

  it('carries a backlog that is larger than any buffer to a client that reads', async () => {
    const labels = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`label-${n}`, 'é'.repeat(200)]))
    const { credentialId } = await makeFleet(api.store, 0)
    const from = await api.store.lastSeq()
    for (let n = 0; n < 400; n++) await api.store.addHost({ name: `big-${n}`, address: '127.0.0.1', port: 1, user: 'root', gateMode: 'installed', hostKey: 'ssh-ed25519 AAAA', hostKeySha256: 'SHA256:', credentialId, labels }, 'token:spec')
    const stream = await fresh(`?after=${from}`)
    await until('all of 8 MB is there', () => stream.seen.length >= 400, 30_000)
    expect(ids(stream).length).toBe(400)
    stream.close()
  })

  it('waits for clients that read nothing, costs little meanwhile, and gives them all when they read again', async () => {
    const before = heldBytes()
    // 20 backlogs of 8 MB: 160 MB and more, if they were kept for them; a page of 2 MB each is not.
    const deaf = Array.from({ length: 20 }, () => {
      const socket = connect(Number(new URL(api.url).port), '127.0.0.1', () => { socket.write(`GET /api/v1/events/stream?after=0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.token}\r\n\r\n`) })
      socket.on('error', () => {})
      return socket.pause()
    })
    const stream = await fresh()
    const wanted = await happen(50)
    await until('the one that reads has all', () => stream.seen.length >= 50)
    expect(ids(stream)).toEqual(wanted)
    // Long enough to have read all 20 backlogs, as the one stream before did in a fraction of it.
    await sleep(1_500)
    expect(heldBytes() - before).toBeLessThan(80 * 1024 * 1024)
    let heard = ''
    deaf[0]?.setEncoding('utf8').on('data', (text: string) => { heard = heard.slice(-2_000) + text }).resume()
    await until('it has caught up', () => heard.includes(`id: ${wanted.at(-1)}\n`), 30_000)
    stream.close()
    for (const socket of deaf) socket.destroy()
  })

  it('ends within a second after its token was revoked, and the others go on', async () => {
    const { body } = await api.call('token.create', { body: { name: 'viewer' } })
    const [theirs, ours] = [await fresh('', { token: body.secret }), await fresh()]
    await api.call('token.revoke', { params: { name: 'viewer' } })
    expect(await Promise.race([theirs.ended.then(() => 'ended'), sleep(1_000).then(() => 'open')])).toBe('ended')
    const wanted = await happen(1)
    await until('ours goes on', () => ids(ours).includes(wanted[0] ?? ''))
    ours.close()
  })

  it('ends when the control plane stops, and does not hold it up', async () => {
    const other = await startApiPlane([])
    const stream = await openStream(other, '')
    const from = Date.now()
    await other.stop()
    await stream.ended
    expect(Date.now() - from).toBeLessThan(5_000)
  })
})
