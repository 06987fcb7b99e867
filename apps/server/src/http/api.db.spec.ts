// Every address of the API, as a stranger, a careless client and a hostile one meet it.
import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { connect } from 'node:net'
import { type Route, type RouteName, routes } from '@uptide/contracts/api'
import { openSql } from '@uptide/store/testing'
import { makePrivateKey } from '@uptide/transport'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, moduleFile, pathOf, releases, startApiPlane } from '../testing/api.js'
import { freePort } from '../testing/redis.js'

let api: Api
beforeAll(async () => { api = await startApiPlane([]) })
afterAll(async () => { await api?.stop() })

const names = Object.keys(routes) as RouteName[]
const closed = names.filter((name) => routes[name].access === 'token')
const bodyFor = (name: RouteName) => {
  const row: Route = routes[name]
  if (row.body === undefined) return {}
  return row.body === 'bytes' ? { body: 'x', headers: { 'content-type': 'application/octet-stream' } } : { body: '{}', headers: { 'content-type': 'application/json' } }
}
/** From an address of its own on loopback, since wrong tokens are counted by address. */
function knock(name: RouteName, token: string | null, from = '127.0.0.1'): Promise<{ status: number; type: string; problem: { code: string; next: string } }> {
  const { body, headers } = { body: undefined, headers: {}, ...bodyFor(name) }
  return new Promise((done, fail) => {
    const asked = request(api.url + pathOf(name, { name: 'x', id: 'x' }), {
      method: routes[name].method, localAddress: from, agent: false, headers: { ...headers, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
    }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => {
        done({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', problem: (text.startsWith('{') ? JSON.parse(text) : {}) as { code: string; next: string } })
      })
    })
    asked.once('error', fail)
    asked.end(body)
  })
}

describe('without a good token', () => {
  it('nothing but health and the description answers', () => {
    expect(names.filter((name) => !closed.includes(name)).sort()).toEqual(['health', 'openapi'])
  })

  closed.forEach((name, index) => {
    it(`${name} is closed`, async () => {
      const made = await api.call('token.create', { body: { name: `gone-${name}` } })
      // Good a moment ago, and remembered as such.
      expect((await api.call('token.list', {}, made.body.secret)).status).toBe(200)
      await api.call('token.revoke', { params: { name: `gone-${name}` } })
      for (const token of [null, '', 'x', made.body.secret, `${api.token.slice(0, -2)}${api.token.endsWith('AA') ? 'BA' : 'AA'}`]) {
        const { status, type, problem } = await knock(name, token, `127.0.1.${index + 1}`)
        expect({ status, type, code: problem.code }).toEqual({ status: 401, type: expect.stringContaining('application/problem+json'), code: token === null || token === '' ? 'NO_TOKEN' : 'BAD_TOKEN' })
        expect(problem.next).toContain('Bearer')
      }
    })
  })

  it('a large body is refused before it is read', async () => {
    const { port } = new URL(api.url)
    const said = await new Promise<string>((done, fail) => {
      const socket = connect(Number(port), '127.0.0.1', () => { socket.write('POST /api/v1/patches/x/builds HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 60000000\r\n\r\n') })
      socket.once('data', (chunk) => { socket.destroy(); done(chunk.toString()) })
      socket.once('error', fail)
    })
    expect(said).toMatch(/^HTTP\/1.1 401 /)
  })

  it('an address that guesses is told to wait, and others are not', async () => {
    const seen: number[] = []
    const guess = () => `uptide_${randomBytes(16).toString('hex')}_${randomBytes(32).toString('base64url')}`
    for (let n = 0; n < 31; n++) seen.push((await knock('host.list', guess(), '127.0.2.1')).status)
    expect(seen).toEqual([...Array.from({ length: 30 }, () => 401), 429])
    expect((await knock('host.list', api.token, '127.0.2.1')).problem.code).toBe('TOO_MANY_TRIES')
    expect((await knock('host.list', api.token, '127.0.2.2')).status).toBe(200)
  })
})

describe('tokens', () => {
  it('are shown once, kept as a hash, named once, and their use is noted', async () => {
    const { body } = await api.call('token.create', { body: { name: 'ci' } })
    expect(body.secret).toMatch(/^uptide_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$/)
    expect((await api.call('token.create', { body: { name: 'ci' } })).problem).toMatchObject({ status: 409, code: 'NAME_TAKEN' })
    await api.call('host.list', {}, body.secret)
    const listed = (await api.call('token.list')).body.items.find((one) => one.name === 'ci')
    expect(listed?.lastUsedAt).not.toBeNull()
    const sql = await openSql(api.databaseUrl)
    const rows = await sql.query<{ text: string }>('SELECT t::text AS text FROM tokens t UNION ALL SELECT e::text FROM events e')
    await sql.close()
    expect(rows.filter((row) => row.text.includes(body.secret.slice(-43)))).toEqual([])
    expect(api.said.join('')).not.toContain(body.secret.slice(-43))
    expect((await api.call('token.revoke', { params: { name: 'ci' } })).body.revokedAt).not.toBeNull()
    expect((await api.call('token.revoke', { params: { name: 'nobody' } })).status).toBe(404)
  })

  it('do not revoke themselves', async () => {
    expect((await api.call('token.revoke', { params: { name: 'admin' } })).problem).toMatchObject({ status: 409, code: 'OWN_TOKEN' })
    expect((await api.call('token.list')).status).toBe(200)
  })

  it('stand under every act as its principal', async () => {
    const { body } = await api.call('token.create', { body: { name: 'alice' } })
    await api.call('patch.add', { body: { name: 'by-alice', title: 'A fix' } }, body.secret)
    const events = (await api.call('event.list', { query: { kind: 'patch.added' } })).body.items
    expect(events.map((one) => one.principal)).toEqual(['token:alice'])
    expect((await api.call('patch.show', { params: { name: 'by-alice' } })).body.createdBy).toBe('token:alice')
  })
})

describe('a request that is not as it has to be', () => {
  const json = { 'content-type': 'application/json' }
  const cases: readonly (readonly [string, string, string, string | Uint8Array | undefined, Record<string, string>, number, string, string?])[] = [
    ['an unknown member', 'POST', '/api/v1/tokens', '{"name":"x","admin":true}', json, 400, 'BAD_INPUT', 'body'],
    ['a misspelt member deep inside', 'POST', '/api/v1/rollouts/plan', '{"patch":"x","selection":{"all":true},"strategy":{"stall":{"afterMS":1}}}', json, 400, 'BAD_INPUT', 'body.strategy.stall'],
    ['a wrong type', 'POST', '/api/v1/hosts', '{"name":"x","address":"127.0.0.1","port":"22"}', json, 400, 'BAD_INPUT', 'body.port'],
    ['an address that a shell could read', 'POST', '/api/v1/hosts', '{"name":"x","address":"$(id)"}', json, 400, 'BAD_INPUT', 'body.address'],
    ['an address that is an option', 'POST', '/api/v1/hosts', '{"name":"x","address":"-oProxyCommand=id"}', json, 400, 'BAD_INPUT', 'body.address'],
    ['NUL in a label', 'POST', '/api/v1/hosts', '{"name":"x","address":"127.0.0.1","labels":{"a":"\\u0000"}}', json, 400, 'BAD_INPUT', 'body.labels.a'],
    ['half a surrogate pair', 'POST', '/api/v1/patches', '{"name":"x","title":"\\ud800"}', json, 400, 'BAD_INPUT', 'body.title'],
    ['a prototype', 'POST', '/api/v1/tokens', '{"name":"x","__proto__":{"a":1}}', json, 400, 'BAD_JSON'],
    ['no JSON', 'POST', '/api/v1/tokens', '{"name":', json, 400, 'BAD_JSON'],
    ['an empty body', 'POST', '/api/v1/tokens', '', json, 400, 'BAD_JSON'],
    ['another kind of body', 'POST', '/api/v1/tokens', '<a/>', { 'content-type': 'application/xml' }, 415, 'MEDIA_TYPE'],
    ['bytes for JSON', 'POST', '/api/v1/tokens', 'x', { 'content-type': 'application/octet-stream' }, 415, 'MEDIA_TYPE'],
    ['JSON for bytes', 'POST', '/api/v1/patches/by-alice/builds', '{}', json, 415, 'MEDIA_TYPE'],
    ['too much JSON', 'POST', '/api/v1/tokens', `{"name":"${'x'.repeat(2 * 1024 * 1024)}"}`, json, 413, 'TOO_LARGE'],
    ['a page of nothing', 'GET', '/api/v1/hosts?limit=0', undefined, {}, 400, 'BAD_INPUT', 'query.limit'],
    ['a page of too much', 'GET', '/api/v1/hosts?limit=1001', undefined, {}, 400, 'BAD_INPUT', 'query.limit'],
    ['a cursor that is none', 'GET', '/api/v1/patches?after=1', undefined, {}, 400, 'BAD_INPUT', 'query.after'],
    ['NUL in a query', 'GET', '/api/v1/hosts?kernel=%00', undefined, {}, 400, 'BAD_INPUT', 'query.kernel'],
    ['a label without a value', 'GET', '/api/v1/hosts?label=web', undefined, {}, 400, 'BAD_INPUT', 'query.label'],
    ['a sequence number that is none', 'GET', '/api/v1/events?after=-1', undefined, {}, 400, 'BAD_INPUT', 'query.after'],
    ['a path that climbs', 'GET', '/api/v1/hosts/..%2f..%2fetc', undefined, {}, 400, 'BAD_INPUT', 'path.name'],
    ['a path that is no text', 'GET', '/api/v1/hosts/%ff', undefined, {}, 400, 'BAD_REQUEST'],
    ['an unknown address', 'GET', '/api/v2/hosts', undefined, {}, 404, 'NO_ROUTE'],
    ['an unknown method', 'PUT', '/api/v1/hosts', '{}', json, 404, 'NO_ROUTE'],
  ]
  for (const [says, method, path, body, headers, status, code, at] of cases) {
    it(`with ${says} is refused with its place`, async () => {
      const response = await api.raw(method, path, { headers, ...(body === undefined ? {} : { body }) })
      const problem = await response.json() as { code: string; detail: string; at?: { path: string }[] }
      expect({ status: response.status, code: problem.code, type: response.headers.get('content-type') }).toEqual({ status, code, type: expect.stringContaining('application/problem+json') })
      expect(problem.detail).not.toBe('')
      if (at !== undefined) expect(problem.at?.map((one) => one.path)).toContain(at)
    })
  }

  it('by HEAD opens nothing', async () => {
    expect((await api.raw('HEAD', '/api/v1/events/stream', { signal: AbortSignal.timeout(5_000) })).status).toBe(404)
  })

  it('gets an answer that no browser would run or keep', async () => {
    const { headers } = await api.call('host.list')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe('no-store')
  })
})

describe('what the API says of itself', () => {
  it('names every route with what it needs', async () => {
    const { paths } = (await api.call('openapi', {}, null)).body as { paths: Record<string, Record<string, { operationId: string; security: unknown[] }>> }
    const described = Object.values(paths).flatMap((methods) => Object.values(methods))
    expect(described.map((one) => one.operationId).sort()).toEqual([...names].sort())
    for (const one of described) expect(one.security.length === 0, one.operationId).toBe(routes[one.operationId as RouteName].access === 'public')
  })

  it('says that it is well, and counts for Prometheus', async () => {
    expect((await api.call('health', {}, null)).body).toMatchObject({ ok: true, roles: ['api'] })
    const { body, type } = await api.call('metrics')
    expect(type).toContain('text/plain')
    expect(body).toContain('uptide_process_resident_memory_bytes')
  })
})

describe('credentials', () => {
  it('are sealed, and never come back', async () => {
    const privateKey = makePrivateKey()
    const { body, status } = await api.call('credential.add', { body: { name: 'default', privateKey } })
    expect(status).toBe(201)
    expect(body.publicKey).toMatch(/^ssh-ed25519 /)
    expect(JSON.stringify((await api.call('credential.list')).body)).not.toContain('PRIVATE')
    const sql = await openSql(api.databaseUrl)
    const rows = await sql.query<{ sealed: Buffer }>('SELECT sealed FROM credentials')
    const [events] = await sql.query<{ text: string }>("SELECT string_agg(e::text, ' ') AS text FROM events e")
    await sql.close()
    const middle = privateKey.split('\n')[2] ?? '?'
    expect(rows.map((row) => row.sealed.includes(middle))).toEqual([false])
    expect(events?.text).not.toContain(middle)
    expect((await api.call('credential.add', { body: { name: 'default', privateKey } })).problem.code).toBe('NAME_TAKEN')
  })

  it.each([['a public key', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE nobody'], ['no key at all', 'x'.repeat(60)]])('refuse %s', async (_says, privateKey) => {
    const { problem } = await api.call('credential.add', { body: { name: 'bad', privateKey } })
    expect(problem.status).toBe(422)
    expect(JSON.stringify(problem)).not.toContain(privateKey)
  })
})

describe('uploads', () => {
  const upload = (body: Uint8Array, query: Record<string, string> = {}, patch = 'fix') => api.call('build.add', { params: { name: patch }, body, query })
  beforeAll(async () => { await api.call('patch.add', { body: { name: 'fix', title: 'A fix', cves: ['CVE-2026-0001'] } }) })

  it('of a livepatch are read, kept byte for byte, and not exchanged', async () => {
    const bytes = moduleFile('uptide_v1', '6.1')
    const { body, status } = await upload(bytes)
    expect(status).toBe(201)
    expect(body).toMatchObject({ kernelRelease: releases['6.1'], moduleName: 'uptide_v1', arch: 'x86_64', sizeBytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex'), signature: { present: false } })
    expect(body.objects.flatMap((one) => one.functions).length).toBeGreaterThan(0)
    expect(Buffer.compare((await api.store.loadArtefact(body.sha256)) ?? new Uint8Array(), bytes)).toBe(0)
    expect((await upload(bytes)).problem).toMatchObject({ status: 409, code: 'BUILD_EXISTS' })
    expect((await upload(moduleFile('uptide_v2', '6.1'))).problem).toMatchObject({ status: 409, code: 'BUILD_EXISTS' })
    expect((await upload(moduleFile('uptide_v1', '6.12'))).status).toBe(201)
    expect((await api.call('patch.show', { params: { name: 'fix' } })).body.builds.map((one) => one.kernelRelease).sort()).toEqual(Object.values(releases).sort())
    expect((await upload(bytes, {}, 'nothing')).problem).toMatchObject({ status: 404, code: 'NO_SUCH_PATCH' })
  })

  it('that say one thing and are declared another are refused', async () => {
    await api.call('patch.add', { body: { name: 'declared', title: 'A fix' } })
    const is = (await upload(moduleFile('uptide_v2', '6.1'), {}, 'declared')).body.replace
    expect(is).toBe('yes')
    expect((await upload(moduleFile('uptide_v2', '6.12'), { replace: 'no' }, 'declared')).problem).toMatchObject({ status: 422, code: 'REPLACE_DIFFERS' })
  })

  it.each([
    ['nothing', new Uint8Array(0), 'EMPTY'], ['text', Buffer.from('hello'), 'NOT_ELF'], ['a module that is no livepatch', moduleFile('bad_notag', '6.1'), 'NOT_A_LIVEPATCH'],
    ['half a module', moduleFile('uptide_v1', '6.1').slice(0, 4_000), 'TRUNCATED'], ['a packed module', Buffer.from('fd377a585a0000', 'hex'), 'COMPRESSED'],
  ])('of %s are refused with the reason', async (_says, bytes, code) => {
    const { problem } = await upload(Uint8Array.from(bytes))
    expect(problem).toMatchObject({ status: 422, code })
    expect(problem.detail.length).toBeGreaterThan(10)
  })

  it('are read two at a time, however many come at once', async () => {
    const patches = Array.from({ length: 12 }, (_, n) => `at-once-${n}`)
    for (const name of patches) await api.call('patch.add', { body: { name, title: 'A fix' } })
    expect((await Promise.all(patches.map((name) => upload(moduleFile('uptide_v1', '6.12'), {}, name)))).map((one) => one.status)).toEqual(patches.map(() => 201))
  })

  it('of more than 64 MiB are refused', async () => {
    expect((await upload(new Uint8Array(64 * 1024 * 1024 + 1))).problem).toMatchObject({ status: 413, code: 'TOO_LARGE' })
  })
})

describe('enrolling', () => {
  it('of a host that nobody serves says why', async () => {
    const { problem } = await api.call('host.add', { body: { name: 'nobody', address: '127.0.0.1', port: await freePort() } })
    expect(problem.status).toBe(422)
    expect(problem.detail).toContain('127.0.0.1')
    expect((await api.call('host.show', { params: { name: 'nobody' } })).status).toBe(404)
  })

  it('with a credential that is not there says how to store one', async () => {
    const { problem } = await api.call('host.add', { body: { name: 'nobody', address: '127.0.0.1', credential: 'other' } })
    expect(problem).toMatchObject({ status: 422, code: 'CREDENTIAL_UNKNOWN', next: expect.stringContaining('uptide') })
  })
})
