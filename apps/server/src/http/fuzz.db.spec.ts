// Whatever a client with a token sends, the API answers in its own words and never fails.
import { type BodyOf, type Route, type RouteName, routes } from '@uptide/contracts/api'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePrivateKey } from '@uptide/transport'
import { type Api, moduleFile, releases, startApiPlane } from '../testing/api.js'

let api: Api
let rolloutId: string

beforeAll(async () => {
  api = await startApiPlane([])
  await api.call('credential.add', { body: { name: 'default', privateKey: makePrivateKey() } })
  await api.call('patch.add', { body: { name: 'fix', title: 'A fix' } })
  await api.call('build.add', { params: { name: 'fix' }, body: moduleFile('uptide_v1', '6.1') })
  for (const name of ['web-1', 'web-2']) {
    const { body } = await api.call('host.add', { body: { name, address: '127.0.0.1', port: 1, hostKey, labels: { role: 'web' } } })
    await api.store.recordProbe({ id: body.id, name }, { facts: { kernelRelease: releases['6.1'], kernelBuildId: null, arch: 'x86_64', bootId: '11111111-2222-4333-8444-555555555555', mechanism: 'klp-consistency', features: {}, taint: 0, loaded: [] } }, 'token:spec')
  }
  const made = await api.call('rollout.create', { body: { patch: 'fix', selection: { all: true }, name: 'draft', start: false } })
  rolloutId = made.body.id
})
afterAll(async () => { await api?.stop() })

const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE'
const fingerprint = `SHA256:${'A'.repeat(43)}`

/** Requests that would be carried out; what is sent is one of these with something changed, or something else altogether. */
const good: { readonly [N in RouteName]?: BodyOf<N> } = {
  'pacing.set': { inFlightMax: 50 },
  'schedule.preview': { schedule: { startAt: null, windows: [{ recurrence: { kind: 'cron', expression: '0 22 * * *' }, timeZone: 'UTC', durationMs: 3_600_000, cutoffMs: 0 }], blackouts: [] }, count: 3 },
  'host.add': { name: 'h', address: '127.0.0.1', port: 1, user: 'root', gateMode: 'installed', labels: { role: 'db' }, hostKey, credential: 'default' },
  'host.probe': {}, 'host.retrust': { hostKeySha256: fingerprint, reason: 'reinstalled' },
  'credential.add': { name: 'k', privateKey: 'x'.repeat(60), passphrase: 'p' },
  'patch.add': { name: 'p', title: 'A fix', description: 'Longer.', cves: ['CVE-2026-0001'], severity: 'low' },
  'rollout.plan': { patch: 'fix', selection: { labels: { role: 'web' } }, strategy: { waves: [{ kind: 'count', hosts: 1 }, { kind: 'percent', percent: 50 }], stall: { acts: ['wait', 'nudge'] }, retry: { attemptsMax: 2 } } },
  'rollout.create': { name: 'r', patch: 'fix', selection: { hosts: ['web-1'] }, strategy: { errorsMax: 1 }, start: false },
  'rollout.start': { reason: 'go' }, 'rollout.hold': { reason: 'wait' }, 'rollout.resume': { reason: 'on' }, 'rollout.cancel': { reason: 'no' },
  'rollout.revert': { reason: 'back', hosts: ['web-1'] },
  'token.create': { name: 't' },
}

const hostile = fc.oneof(
  fc.constantFrom<unknown>('', '\u0000', 'a\u0000b', '\ud800', 'x\udfff', '__proto__', 'constructor', "' OR 1=1; --", '$(id)', '../../etc/passwd', 'é'.normalize('NFD'), 'x'.repeat(5_000), '\u202e', -1, 0, 1.5, 2 ** 31, 2 ** 53, 1e308, null, true, [], {}, [[]], { a: { b: [] } }),
  fc.string({ unit: 'binary', maxLength: 200 }), fc.integer(), fc.double(), fc.jsonValue({ maxDepth: 4 }),
  fc.uuid(), fc.array(fc.string({ maxLength: 10 }), { maxLength: 5 }), fc.dictionary(fc.string({ maxLength: 10 }), fc.string({ maxLength: 10 })),
)

const suffix = fc.integer({ min: 0, max: 1e9 })

/** Somewhere inside `value`, by the turns given, something else stands. */
function changed(value: unknown, turns: readonly number[], instead: unknown): unknown {
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : []
  const [turn = 0, ...rest] = turns
  if (keys.length === 0 || turn % 4 === 3) return instead
  const key = keys[turn % keys.length] ?? ''
  const inner = changed((value as Record<string, unknown>)[key], rest, instead)
  return Array.isArray(value) ? value.map((one: unknown, index) => (String(index) === key ? inner : one)) : { ...(value as object), [key]: inner }
}

/** A name is used once. */
const named = (base: unknown, n: number): unknown => (base && typeof base === 'object' && 'name' in base ? Object.assign({}, base, { name: `${String(base.name)}-${n}` }) : base)

function bodies(name: RouteName): fc.Arbitrary<string> {
  const base = good[name]
  const mutated = fc.tuple(fc.array(fc.nat(30), { maxLength: 4 }), hostile, suffix).map(([turns, instead, n]) => {
    return JSON.stringify(changed(named(base, n), turns, instead)) ?? ''
  })
  return fc.oneof({ weight: 6, arbitrary: mutated }, { weight: 1, arbitrary: hostile.map((value) => JSON.stringify(value) ?? '') }, { weight: 1, arbitrary: fc.string({ maxLength: 50 }) }, { weight: 2, arbitrary: suffix.map((n) => JSON.stringify(named(base, n)) ?? '') })
}

const querySchema = (row: Route) => Object.keys((row.query as { shape?: object } | undefined)?.shape ?? {})
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('\u0000', '-1', '1e9', '99999999999999999999', '%', 'a=b', 'a.b=\u0000', '=', "'", '{}', 'role=web')).map((word) => word.toWellFormed())
const queries = (row: Route) => fc.array(fc.tuple(fc.oneof({ weight: 5, arbitrary: fc.constantFrom('x', ...querySchema(row)) }, { weight: 1, arbitrary: text }), text), { maxLength: 3 })
const params = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('web-1', 'fix', 'draft', 'draft') }, { weight: 1, arbitrary: fc.uuid() }, { weight: 2, arbitrary: text.filter((word) => word !== '' && word !== '.' && word !== '..') })

/** What the requests above ask of these stands against the state of things; they are carried out in other specs. */
const neverDone: readonly RouteName[] = ['host.retrust', 'credential.add', 'build.add', 'calendar.read', 'halt.release', 'rollout.approve', 'rollout.override', 'rollout.reject', 'rollout.revert']
const runs = Object.keys(routes).filter((name) => name !== 'event.stream' && routes[name as RouteName].method !== 'DELETE') as RouteName[]

describe('whatever is sent', () => {
  for (const name of runs) {
    const row: Route = routes[name]
    it(`to ${name} is answered and is no fault of the API`, async () => {
      const statuses = new Set<number>()
      await fc.assert(fc.asyncProperty(params, queries(row), bodies(name), async (param, query, body) => {
        const path = row.path.replace(/:([a-z]+)/gi, (_, key: string) => encodeURIComponent(key === 'id' && param === 'web-1' ? rolloutId : param))
        const asked = row.query ? query : []
        const response = await api.raw(row.method, `${path}${asked.length > 0 ? `?${new URLSearchParams(asked)}` : ''}`, row.body === undefined ? {} : { body, headers: { 'content-type': row.body === 'bytes' ? 'application/octet-stream' : 'application/json' } })
        const said = await response.text()
        statuses.add(response.status)
        expect(response.status, said).toBeLessThan(500)
        if (!response.ok) {
          expect(response.headers.get('content-type')).toContain('application/problem+json')
          expect(JSON.parse(said)).toMatchObject({ status: response.status, code: expect.stringMatching(/^[A-Z_]+$/), detail: expect.stringMatching(/./) })
        }
      }), { numRuns: row.body || row.query || row.path.includes(':') ? 120 : 3, verbose: 1 })
      // Else nothing but the door was tried.
      const carriedOut = [...statuses].some((status) => status < 300)
      expect(carriedOut || neverDone.includes(name), `${name}: ${[...statuses].join(' ')}`).toBe(true)
    })
  }

  it('as a module is read or refused with a reason', async () => {
    const whole = moduleFile('uptide_v1', '6.1')
    const infoAt = Buffer.from(whole).indexOf('livepatch=Y')
    const places = fc.oneof({ weight: 2, arbitrary: fc.nat(whole.byteLength - 1) }, { weight: 2, arbitrary: fc.integer({ min: infoAt - 100, max: infoAt + 400 }) }, { weight: 1, arbitrary: fc.nat(64) })
    let n = 0
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(places, fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0xed, 0x1b, 0x22))), { minLength: 1, maxLength: 6 }), fc.option(fc.nat(whole.byteLength), { freq: 5 }), async (edits, cut) => {
      const name = `upload-${n++}`
      await api.call('patch.add', { body: { name, title: 'A fix' } })
      const bytes = Uint8Array.from(whole)
      for (const [at, value] of edits) bytes[at] = value
      const { status, problem } = await api.call('build.add', { params: { name }, body: bytes.slice(0, cut ?? bytes.byteLength) })
      expect([201, 422], JSON.stringify(problem)).toContain(status)
      expect((await api.call('patch.show', { params: { name } })).body.builds.length).toBe(status === 201 ? 1 : 0)
    }), { numRuns: 100, verbose: 1 })
  })

  it('the log stays whole', async () => {
    expect((await api.call('event.verify')).body.ok).toBe(true)
  })
})
