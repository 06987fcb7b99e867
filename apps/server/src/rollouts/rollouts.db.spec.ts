// The operator's whole way through the API: hosts enrolled over SSH, a patch uploaded, a rollout planned, created, watched, undone.
import { event } from '@uptide/contracts/api'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, moduleFile, releases, serveKernels, type SshFleet, startApiPlane } from '../testing/api.js'
import { freePort } from '../testing/redis.js'
import { openStream } from '../testing/sse.js'
import { until } from '../testing/until.js'

let api: Api
let fleet: SshFleet
const ends = ['succeeded', 'failed', 'reverted', 'cancelled', 'held']
const good = ['a-1', 'a-2', 'a-3', 'b-1', 'b-2']

beforeAll(async () => {
  const a = { generation: 'klp61', release: releases['6.1'] } as const
  const b = { generation: 'klp611', release: releases['6.12'] } as const
  fleet = await serveKernels({ 'a-1': a, 'a-2': a, 'a-3': a, 'b-1': b, 'b-2': b, 'no-build': { generation: 'klp51', release: '5.10.0-32-amd64' }, old: a, changed: a })
  api = await startApiPlane()
  await api.call('credential.add', { body: { name: 'default', privateKey: fleet.privateKey } })
})
afterAll(async () => { await api?.stop(); await fleet?.close() })

const enrol = (name: string, more: object = {}) => api.call('host.add', { body: { name, address: '127.0.0.1', port: fleet.port, user: name, gateMode: 'installed', labels: { kernel: name.slice(0, 1) }, ...more } })
const reached = async (id: string, states = ends) => {
  await until(`the rollout is one of ${states.join(', ')}`, async () => states.includes((await api.call('rollout.show', { params: { id } })).body.state), 30_000)
  return (await api.call('rollout.show', { params: { id } })).body
}
const targets = async (id: string) => Object.fromEntries((await api.call('rollout.targets', { params: { id } })).body.items.map((one) => [one.host, one]))
const quick = { waves: [{ kind: 'percent' as const, percent: 100 }], bakeMs: 0, retry: { firstMs: 100, maxMs: 500 } }

describe('enrolling hosts', () => {
  it('pins a key only when a person has confirmed it', async () => {
    const shown = await enrol('a-1')
    expect(shown.problem).toMatchObject({ status: 409, code: 'HOST_KEY_NOT_CONFIRMED', hostKey: fleet.hostKey, hostKeySha256: expect.stringMatching(/^SHA256:/) })
    expect(shown.problem.next).toContain(String(shown.problem['hostKeySha256']))
    expect((await enrol('a-1', { hostKeySha256: `SHA256:${'A'.repeat(43)}` })).problem).toMatchObject({ status: 409, code: 'HOST_KEY_DIFFERS' })
    const { status, body } = await enrol('a-1', { hostKeySha256: shown.problem['hostKeySha256'] })
    expect({ status, state: body.state, kernel: body.kernelRelease, mechanism: body.mechanism, loaded: body.loaded }).toEqual({ status: 201, state: 'reachable', kernel: releases['6.1'], mechanism: 'klp-consistency', loaded: [] })
    expect((await enrol('a-1', { hostKey: fleet.hostKey })).problem).toMatchObject({ status: 409, code: 'NAME_TAKEN' })
    expect((await enrol('x', { hostKey: `ssh-rsa ${fleet.hostKey.split(' ')[1]}` })).problem).toMatchObject({ status: 422, code: 'BAD_HOST_KEY' })
  })

  it('takes those that cannot be reached now too, with the reason', async () => {
    for (const name of ['a-2', 'a-3', 'b-1', 'b-2', 'no-build', 'old']) expect((await enrol(name, { hostKey: fleet.hostKey })).body.state, name).toBe('reachable')
    // A kernel of before the consistency model, as its gate would tell it.
    const { body: old } = await api.call('host.show', { params: { name: 'old' } })
    await api.store.recordProbe({ id: old.id, name: 'old' }, { facts: { kernelRelease: '4.4.0-210-generic', kernelBuildId: null, arch: 'x86_64', bootId: '11111111-2222-4333-8444-555555555555', mechanism: 'klp-stopmachine', features: {}, taint: 0, loaded: [] } }, 'token:spec')
    const { body } = await enrol('gone', { hostKey: fleet.hostKey, port: await freePort() })
    expect(body.state).toBe('unreachable')
    expect(body.reason?.says).toContain('127.0.0.1')
    const probed = await api.call('host.probe', { params: { name: 'gone' }, body: {} })
    expect(probed.body).toMatchObject({ ok: false, problem: { code: body.reason?.code } })
  })

  it('quarantines a host that shows another key, until somebody says why', async () => {
    const other = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE'
    const { body } = await enrol('changed', { hostKey: other })
    expect(body).toMatchObject({ state: 'quarantined', reason: { code: 'HOST_KEY_CHANGED' } })
    const { body: plan } = await api.call('rollout.plan', { body: { patch: 'none', selection: { all: true } } })
    expect(plan).toMatchObject({ code: 'NO_SUCH_PATCH' })
    expect((await api.call('host.retrust', { params: { name: 'changed' }, body: { hostKeySha256: `SHA256:${'B'.repeat(43)}`, reason: 'a guess' } })).problem.code).toBe('HOST_KEY_DIFFERS')
    expect((await api.call('host.show', { params: { name: 'changed' } })).body.state).toBe('quarantined')
  })

  it('finds them by label, kernel and state, in pages', async () => {
    const names = async (query: Record<string, string>) => (await api.call('host.list', { query })).body.items.map((one) => one.name)
    expect(await names({ label: 'kernel=a' })).toEqual(['a-1', 'a-2', 'a-3'])
    expect(await names({ kernel: releases['6.12'] })).toEqual(['b-1', 'b-2'])
    expect(await names({ state: 'quarantined' })).toEqual(['changed'])
    const first = await api.call('host.list', { query: { limit: '4' } })
    expect([...first.body.items.map((one) => one.name), ...await names({ after: first.body.next ?? '' })]).toEqual(await names({}))
  })
})

describe('planning', () => {
  beforeAll(async () => {
    await api.call('patch.add', { body: { name: 'fix', title: 'A fix' } })
    for (const kernel of ['6.1', '6.12'] as const) expect((await api.call('build.add', { params: { name: 'fix' }, body: moduleFile('uptide_v1', kernel) })).status).toBe(201)
  })
  const plan = async (more: object = {}) => (await api.call('rollout.plan', { body: { patch: 'fix', selection: { all: true }, ...more } }))

  it('gives each host the build for its kernel, a canary for each build, and every other host a reason', async () => {
    const { body } = await plan()
    expect(body.hosts).toBe(5)
    expect(body.waves[0]).toMatchObject({ canary: true })
    expect(body.waves[0]?.hosts.map((host) => host.kernel).sort()).toEqual(Object.values(releases).sort())
    expect(body.waves.flatMap((wave) => wave.hosts.map((host) => host.name)).sort()).toEqual(good)
    expect(Object.fromEntries(body.skipped.map((one) => [one.host, one.reason.code]))).toEqual({ changed: 'QUARANTINED', gone: 'KERNEL_UNKNOWN', 'no-build': 'NO_BUILD', old: 'NOT_CAPABLE' })
    for (const one of body.skipped) expect(one.reason.says).toContain(one.host)
    expect(body.says.join('\n')).toMatch(/at most 50 hosts at once[^]*stalled[^]*undo on 6\.1/)
  })

  it('takes the hosts that a selector names, and only those', async () => {
    const names = async (selection: object): Promise<string[]> => {
      const { body } = await plan({ selection })
      return [...body.waves.flatMap((wave) => wave.hosts.map((host) => host.name)), ...body.skipped.map((one) => one.host)].sort()
    }
    expect(await names({ selector: 'name ~ a-* and kernel < 6.12' })).toEqual(['a-1', 'a-2', 'a-3'])
    expect(await names({ selector: 'state = quarantined or name in (gone)' })).toEqual(['changed', 'gone'])
    expect(await names({ selector: 'not name ~ a-*', hosts: ['a-1', 'b-1'] })).toEqual(['b-1'])
  })

  it('is the same for the same question, and another for another', async () => {
    const [one, same, other] = [await plan(), await plan(), await plan({ strategy: { bakeMs: 1 } })]
    expect(one.body.planHash).toBe(same.body.planHash)
    expect(one.body.planHash).not.toBe(other.body.planHash)
    expect((await api.call('rollout.list')).body.items).toEqual([])
  })

  it.each([
    ['a host that is not there', { selection: { hosts: ['a-1', 'nobody'] } }, 'NO_SUCH_HOST', 'selection.hosts'],
    ['nothing', { selection: {} }, 'BAD_INPUT', 'body.selection'],
    ['all and some', { selection: { all: true, hosts: ['a-1'] } }, 'BAD_INPUT', 'body.selection'],
    ['a selector that cannot be read', { selection: { selector: 'role = web' } }, 'BAD_SELECTOR', 'selection.selector'],
    ['a selector that names nobody', { selection: { selector: 'name = nobody' } }, 'NO_SUCH_HOST', 'selection.selector'],
    ['a strategy that cannot be', { strategy: { retry: { firstMs: 5_000, maxMs: 1 } } }, 'IMPOSSIBLE_STRATEGY', 'strategy.retry.maxMs'],
  ])('refuses %s, with the place', async (_says, ask, code, place) => {
    const { problem } = await plan(ask)
    expect(problem.code).toBe(code)
    expect(problem.at?.map((one) => one.path)).toContain(place)
  })

  it('is not carried out when it has changed since it was looked at, or leaves nobody', async () => {
    const create = (more: object) => api.call('rollout.create', { body: { patch: 'fix', selection: { all: true }, ...more } })
    expect((await create({ planHash: '0123456789abcdef' })).problem).toMatchObject({ status: 409, code: 'PLAN_CHANGED' })
    expect((await create({ selection: { hosts: ['no-build'] } })).problem).toMatchObject({ status: 422, code: 'NOTHING_TO_DO', at: [{ path: 'no-build', says: expect.stringContaining('no-build') }] })
  })
})

describe('a rollout', () => {
  let id: string

  it('is a draft until it is started, and says what cannot be done with it', async () => {
    const { body: plan } = await api.call('rollout.plan', { body: { patch: 'fix', selection: { all: true }, strategy: quick } })
    const { body, status } = await api.call('rollout.create', { body: { patch: 'fix', selection: { all: true }, strategy: quick, planHash: plan.planHash, start: false } })
    expect({ status, state: body.state, name: body.name, hosts: body.hosts, skipped: body.counts['skipped'] }).toEqual({ status: 201, state: 'draft', name: 'fix-1', hosts: 5, skipped: 4 })
    id = body.id
    expect((await api.call('rollout.hold', { params: { id }, body: {} })).problem).toMatchObject({ status: 409, code: 'ROLLOUT_STATE' })
    expect((await api.call('rollout.create', { body: { patch: 'fix', selection: { all: true }, name: 'fix-1' } })).problem).toMatchObject({ status: 409, code: 'NAME_TAKEN' })
    expect((await api.call('rollout.show', { params: { id: 'fix-1' } })).body.id).toBe(id)
  })

  it('runs to its end on every kernel, and the stream tells all of it in order', async () => {
    const stuck = fleet.gates.get('a-2')
    const [fn = ''] = (await api.call('patch.show', { params: { name: 'fix' } })).body.builds.flatMap((build) => build.objects.flatMap((object) => object.functions))
    // It sleeps in a patched function for a while: the transition has something to show.
    const sleeper = stuck?.kernel.spawn({ comm: 'sleeper', frames: [{ object: 'vmlinux', name: fn, by: null }], interruptible: false })
    const before = await api.store.lastSeq()
    const [all, mine, other] = [await openStream(api, ''), await openStream(api, `?rolloutId=${id}&after=0`), await openStream(api, `?rolloutId=${id.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))}&after=0`)]
    expect((await api.call('rollout.start', { params: { id }, body: { reason: 'tonight' } })).body.state).toBe('scheduled')
    await until('progress is shown', () => all.seen.some((one) => one.kind === 'progress' && (one.data as { targets: { host: string; progress: object | null }[] }).targets.some((target) => target.host === 'a-2' && target.progress !== null)))
    stuck?.kernel.exit(sleeper?.tid ?? 0)

    const rollout = await reached(id)
    expect({ state: rollout.state, counts: rollout.counts }, JSON.stringify(rollout.reason)).toEqual({ state: 'succeeded', counts: { succeeded: 5, skipped: 4 } })
    const rows = await targets(id)
    for (const name of good) expect(rows[name], name).toMatchObject({ state: 'succeeded', bootIdAfter: rows[name]?.bootIdBefore })
    expect(rows['old']).toMatchObject({ state: 'skipped', reason: { code: 'NOT_CAPABLE' } })

    const recorded = (await api.call('event.list', { query: { after: before, limit: '1000' } })).body.items
    await until('the stream has all', () => all.seen.some((one) => one.id === recorded.at(-1)?.seq))
    const events = all.seen.filter((one) => one.kind === 'event')
    expect(events.map((one) => one.data)).toEqual(recorded)
    for (const one of events) expect(event.strict().parse(one.data).seq).toBe(one.id)
    await until('the other stream has its own', () => mine.seen.some((one) => one.id === recorded.filter((row) => row.rolloutId === id).at(-1)?.seq))
    expect(mine.seen.filter((one) => one.kind === 'event').map((one) => one.data)).toEqual((await api.call('event.list', { query: { rolloutId: id, limit: '1000' } })).body.items)
    expect(other.seen).toEqual([])
    for (const stream of [all, mine, other]) stream.close()
  })

  it('has nothing to do again where the build is active', async () => {
    const { body } = await api.call('rollout.plan', { body: { patch: 'fix', selection: { hosts: good } } })
    expect(body.skipped.map((one) => [one.host, one.reason.code])).toEqual(good.map((name) => [name, 'ALREADY_PATCHED']))
    expect((await api.call('rollout.create', { body: { patch: 'fix', selection: { hosts: good } } })).problem.code).toBe('NOTHING_TO_DO')
  })

  it('is taken back on one host, then on all', async () => {
    expect((await api.call('rollout.revert', { params: { id }, body: { hosts: ['old', 'b-1'] } })).problem).toMatchObject({ status: 409, code: 'NOT_REVERTIBLE', at: [{ path: 'old' }] })
    expect((await targets(id))['b-1']?.state).toBe('succeeded')
    expect((await api.call('rollout.revert', { params: { id }, body: { hosts: ['b-1'], reason: 'it is slow' } })).status).toBe(200)
    await until('b-1 is reverted', async () => (await targets(id))['b-1']?.state === 'reverted')
    expect((await targets(id))['a-1']?.state).toBe('succeeded')
    expect((await api.call('host.show', { params: { name: 'b-1' } })).body.loaded).toEqual([])
    expect((await api.call('rollout.revert', { params: { id }, body: {} })).status).toBe(200)
    expect((await reached(id, ['reverted', 'failed'])).state).toBe('reverted')
    for (const name of good) expect((await targets(id))[name]?.state, name).toBe('reverted')
  })

  it('is held, resumed and cancelled', async () => {
    const { body } = await api.call('rollout.create', { body: { patch: 'fix', selection: { labels: { kernel: 'a' } }, strategy: { ...quick, bakeMs: 60_000, canaryPerBuild: 1 } } })
    expect(body.name).toBe('fix-2')
    await until('the canary bakes', async () => Object.values(await targets(body.id)).some((one) => one.state === 'baking'))
    const act = (name: 'rollout.hold' | 'rollout.resume' | 'rollout.cancel') => api.call(name, { params: { id: body.id }, body: { reason: 'a person says so' } })
    expect((await act('rollout.hold')).body).toMatchObject({ state: 'held', reason: { code: 'OPERATOR_HOLD', says: 'a person says so' } })
    expect((await act('rollout.hold')).problem.code).toBe('ROLLOUT_STATE')
    expect((await act('rollout.resume')).body.state).toBe('running')
    expect((await act('rollout.cancel')).body.state).toBe('cancelled')
    await until('those that had not begun are cancelled', async () => Object.values(await targets(body.id)).filter((one) => one.state === 'cancelled').length === 2)
    expect((await act('rollout.resume')).problem.code).toBe('ROLLOUT_STATE')
  })

  it('takes names of its own when many are created at once', async () => {
    const made = await Promise.all(Array.from({ length: 4 }, () => api.call('rollout.create', { body: { patch: 'fix', selection: { hosts: ['b-2'] }, start: false } })))
    expect(made.map((one) => one.body.name).sort()).toEqual(['fix-3', 'fix-4', 'fix-5', 'fix-6'])
  })

  it('waits for the approval of somebody else, when its strategy asks for one', async () => {
    const body = { patch: 'fix', name: 'four-eyes', selection: { hosts: ['b-1'] }, strategy: { bakeMs: 0, approvals: { needed: 1 } } }
    const alone = await api.call('rollout.create', { body })
    expect(alone.problem).toMatchObject({ status: 422, code: 'IMPOSSIBLE_STRATEGY', at: [{ path: 'strategy.approvals.needed' }] })
    const ann = (await api.call('token.create', { body: { name: 'ann' } })).body.secret
    const made = (await api.call('rollout.create', { body })).body
    expect([made.state, made.approvals]).toEqual(['awaiting-approval', []])
    const ask = { params: { id: made.id }, body: { reason: 'I have looked at it' } }
    expect((await api.call('rollout.start', { params: { id: made.id }, body: {} })).problem.code).toBe('ROLLOUT_STATE')
    expect((await api.call('rollout.approve', ask)).problem.code).toBe('OWN_ROLLOUT')
    expect((await api.call('rollout.approve', { ...ask, body: { ...ask.body, planHash: 'another' } }, ann)).problem.code).toBe('PLAN_CHANGED')
    const approved = (await api.call('rollout.approve', { ...ask, body: { ...ask.body, planHash: made.planHash ?? '' } }, ann)).body
    expect(approved.approvals).toMatchObject([{ principal: 'token:ann', says: 'I have looked at it' }])
    await until('it has ended', async () => (await api.call('rollout.show', { params: { id: made.id } })).body.state === 'succeeded')
    expect((await api.call('rollout.reject', ask, ann)).problem.code).toBe('NOT_WAITING')
  })

  it('is asked for by the same selector in which hosts are listed, page by page', async () => {
    const first = (await api.call('host.list', { query: { where: 'name ~ b-*', limit: '1' } })).body
    expect([first.items.map((one) => one.name), first.next]).toEqual([['b-1'], 'b-1'])
    const second = (await api.call('host.list', { query: { where: 'name ~ b-*', limit: '1', after: 'b-1' } })).body
    expect(second.items.map((one) => one.name)).toEqual(['b-2'])
    expect((await api.call('host.list', { query: { where: 'name ~' } })).problem).toMatchObject({ status: 422, code: 'BAD_SELECTOR', at: [{ path: 'where' }] })
  })

  it('starts nothing outside its schedule, starts when it opens, and is refused when it never does', async () => {
    const startAt = Date.now() + 3_000
    const blackout = { name: 'freeze', intervals: [{ from: 0, until: startAt + 1 }] }
    const made = (await api.call('rollout.create', { body: { patch: 'fix', name: 'later', selection: { hosts: ['b-2'] }, strategy: { bakeMs: 0, schedule: { startAt, blackouts: [blackout] } } } })).body
    await new Promise((done) => { setTimeout(done, 1_000) })
    expect((await api.call('rollout.show', { params: { id: made.id } })).body.state).toBe('scheduled')
    expect((await api.call('rollout.targets', { params: { id: made.id } })).body.items[0]?.waitingOn).toMatchObject({ code: 'window', says: expect.stringContaining('Nothing starts before') as string })
    await until('it has ended', async () => (await api.call('rollout.show', { params: { id: made.id } })).body.state === 'succeeded')
    expect(Date.parse((await api.call('rollout.show', { params: { id: made.id } })).body.startedAt ?? '')).toBeGreaterThanOrEqual(startAt)

    const never = { windows: [{ recurrence: { kind: 'cron' as const, expression: '0 0 30 2 *' }, timeZone: 'UTC', durationMs: 3_600_000 }] }
    const refused = await api.call('rollout.create', { body: { patch: 'fix', selection: { hosts: ['b-2'] }, strategy: { schedule: never } } })
    expect(refused.problem).toMatchObject({ status: 422, code: 'IMPOSSIBLE_STRATEGY' })
    expect(refused.problem?.at?.[0]?.path).toContain('strategy.schedule')
  })

  it('shows the next ten occurrences of a schedule, and reads an iCalendar file or says where it is wrong', async () => {
    const ics = ['BEGIN:VCALENDAR', 'VERSION:2.0', 'PRODID:-//spec//EN', 'BEGIN:VEVENT', 'UID:1', 'SUMMARY:Year end', 'DTSTART;TZID=Europe/Berlin:20261220T000000', 'DTEND;TZID=Europe/Berlin:20270103T000000', 'END:VEVENT', 'END:VCALENDAR', ''].join('\r\n')
    const { calendar } = (await api.call('calendar.read', { body: new TextEncoder().encode(ics) })).body
    const windows = [{ recurrence: { kind: 'cron' as const, expression: '0 22 * * SAT' }, timeZone: 'Europe/Berlin', durationMs: 4 * 3_600_000, cutoffMs: 3_600_000 }]
    const { body } = await api.call('schedule.preview', { body: { schedule: { windows, blackouts: [{ name: 'change freeze', calendar }] } } })
    expect(body.occurrences).toHaveLength(10)
    for (const one of body.occurrences) expect(Date.parse(one.end) - Date.parse(one.start)).toBe(4 * 3_600_000)
    const frozen = body.occurrences.filter((one) => one.start > '2026-12-20' && one.start < '2027-01-02')
    for (const one of frozen) expect([one.taken.map((part) => part.by), one.open]).toEqual([['change freeze'], []])
    expect((await api.call('calendar.read', { body: new TextEncoder().encode(ics.replace('DTSTART', 'DTSTRAT')) })).problem).toMatchObject({ code: 'BAD_CALENDAR', detail: expect.stringMatching(/line \d/i) as string })
    expect((await api.call('schedule.preview', { body: { schedule: { windows: [{ ...windows[0]!, timeZone: 'Mars/Olympus' }] } } })).problem).toMatchObject({ code: 'IMPOSSIBLE_SCHEDULE', at: [{ path: 'schedule.windows.0.timeZone' }] })
  })

  it('leaves a log that is whole', async () => {
    const { body } = await api.call('event.verify')
    expect(body).toMatchObject({ ok: true, head: expect.stringMatching(/^[0-9a-f]{64}$/) })
  })
})
