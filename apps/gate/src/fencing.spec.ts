// Who holds the host: one session at a time, never an older one, and a disk that remembers it through anything.
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gateCodes } from '@uptide/contracts/gate'
import { FixtureHost, shells } from './fixture-host.js'

describe.each(shells)('The gate under $shell', ({ shell }) => {
  let host: FixtureHost
  beforeEach(() => { host = new FixtureHost(shell) })
  afterEach(() => { host.remove() })

  it('takes a lease, and keeps the host\'s id and the floor on disk', () => {
    expect(host.one('lease host-1 7 attempt-1')).toEqual({ ok: true, code: '', detail: '', lines: [] })
    expect(host.read('state/host')).toBe('host-1\n')
    expect(host.read('state/floor')).toBe('7 attempt-1\n')
    expect(readdirSync(host.at('state')).sort()).toEqual(['floor', 'host', 'lock', 'stage'])
  })

  it.each([
    ['higher', '8', 'attempt-2', null], ['equal, of the same attempt', '7', 'attempt-1', null], ['equal, of another attempt', '7', 'attempt-2', 'STALE_TOKEN'], ['lower', '6', 'attempt-1', 'STALE_TOKEN'],
    ['a digit longer', '10', 'attempt-2', null], ['the largest', '9999999999999999999', 'attempt-2', null],
  ])('knows a token that is %s', (_how, token, attempt, code) => {
    host.one('lease host-1 7 attempt-1')
    const done = host.talk([`lease host-1 ${token} ${attempt}`, 'hello 1'])
    if (code === null) {
      expect(done).toMatchObject({ exit: 0, replies: [{ ok: true }, { ok: true }] })
      expect(host.read('state/floor')).toBe(`${token} ${attempt}\n`)
    } else {
      expect(done).toMatchObject({ exit: gateCodes.STALE_TOKEN, replies: [{ ok: false, code }] })
      expect(host.read('state/floor')).toBe('7 attempt-1\n')
    }
  })

  // Beyond 2^53, 2^63 and 2^64, at the seams of the two halves that are compared.
  it.each([
    ['9223372036854775807', '9223372036854775808'], ['9999999999999999998', '9999999999999999999'], ['1000000000', '1000000001'], ['999999999', '1000000000'], ['1000000000999999999', '1000000001000000000'], ['9007199254740992', '9007199254740993'], ['1999999999', '2000000000'],
  ])('orders the tokens %s and %s', (lower, higher) => {
    expect(host.one(`lease host-1 ${higher} a`)).toMatchObject({ ok: true })
    expect(host.one(`lease host-1 ${lower} b`)).toMatchObject({ code: 'STALE_TOKEN' })
    host.write('state/floor', `${lower} b\n`)
    expect(host.one(`lease host-1 ${higher} a`)).toMatchObject({ ok: true })
  })

  it.each(['0', '00', '07', '-1', '+1', '1.5', '1e3', '0x10', '12345678901234567890', 'x', '1,2', '1_000'])('refuses %s for a token', (token) => {
    expect(host.talk([`lease host-1 ${token} a`])).toMatchObject({ exit: gateCodes.BAD_REQUEST, replies: [{ code: 'BAD_REQUEST' }] })
    expect(existsSync(host.at('state'))).toBe(false)
  })

  it.each(['lease - 1 a', 'lease h 1 -', 'lease h/../x 1 a', 'lease h.x 1 a', 'lease h 1 a=b', `lease ${'h'.repeat(65)} 1 a`, 'lease -h 1 a'])('refuses the ids of %s', (line) => {
    expect(host.talk([line])).toMatchObject({ exit: gateCodes.BAD_REQUEST, replies: [{ code: 'BAD_REQUEST' }] })
  })

  it('belongs to the host id that it met first', () => {
    host.one('lease host-1 7 a')
    expect(host.talk(['lease host-2 8 b', 'hello 1'])).toMatchObject({ exit: gateCodes.WRONG_HOST, replies: [{ code: 'WRONG_HOST' }] })
    expect(host.read('state/floor')).toBe('7 a\n')
  })

  it('gives a session one lease and no second', () => {
    expect(host.talk(['lease host-1 7 a', 'lease host-1 8 b', 'hello 1'])).toMatchObject({ exit: gateCodes.BAD_REQUEST, replies: [{ ok: true }, { code: 'BAD_REQUEST' }] })
    expect(host.read('state/floor')).toBe('7 a\n')
  })

  it('changes nothing without a lease', () => {
    const digest = '0'.repeat(64)
    const { replies, exit } = host.talk([`load uptide_v1 ${digest} r -`, 'unload uptide_v1', 'write uptide_v1 enabled 0', 'nudge uptide_v1 stopcont', { line: `stage ${digest} 5`, body: Buffer.from('bytes') }, 'hello 1'])
    expect(replies.map((reply) => reply.code)).toEqual([...Array<string>(5).fill('NO_LEASE'), ''])
    expect(exit).toBe(0)
    expect(existsSync(host.at('state'))).toBe(false)
  })

  it('lets one session in at a time, and the next one as soon as it has ended', async () => {
    const first = host.open()
    expect(await first.ask('lease host-1 7 a')).toMatchObject({ ok: true })
    expect(host.talk(['lease host-1 8 b', 'hello 1'])).toMatchObject({ exit: gateCodes.LOCKED, replies: [{ code: 'LOCKED' }] })
    // Who was kept out has raised nothing, and reading is free for all.
    expect(host.read('state/floor')).toBe('7 a\n')
    expect(host.one('facts')).toMatchObject({ ok: true })
    expect(await first.end()).toBe(0)
    const at = Date.now()
    expect(host.one('lease host-1 8 b')).toMatchObject({ ok: true })
    expect(Date.now() - at).toBeLessThan(1500)
  })

  it.each(['waits for a request', 'watches', 'waits for bytes'])('lets go of the lock when it is killed while it %s', async (doing) => {
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    const first = host.open()
    await first.ask('lease host-1 7 a')
    if (doing === 'watches') { first.send('watch uptide_v1 600'); await first.until((text) => text.includes('progress')); await sleep(1500) }
    if (doing === 'waits for bytes') { first.send(`stage ${'0'.repeat(64)} 5000`, Buffer.alloc(100)); await sleep(300) }
    first.child.kill('SIGKILL')
    expect(host.one('lease host-1 8 b')).toMatchObject({ ok: true })
    await first.end()
  })

  it('holds the lock for as long as a load is under way, also when it was killed meanwhile', async () => {
    const digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    host.program('insmod', 'touch started; while [ ! -e go ]; do sleep 0.05; done')
    const first = host.open()
    await first.ask('lease host-1 7 a')
    await first.ask(`stage ${digest} 0`)
    first.send(`load uptide_v1 ${digest} 6.1.0-50-cloud-amd64 -`)
    while (!existsSync(host.at('started'))) await sleep(20)
    first.child.kill('SIGKILL')
    expect(host.one('lease host-1 8 b')).toMatchObject({ code: 'LOCKED' })
    host.write('go', '')
    expect(host.one('lease host-1 8 b')).toMatchObject({ ok: true })
    await first.end()
  })

  it('keeps a floor that is whole and never falls, whenever it is killed', async () => {
    let acknowledged = 0
    for (let round = 1; round <= 12; round++) {
      const session = host.open()
      const token = round * 1000
      const taken = session.ask(`lease host-1 ${token} a-${round}`).then((reply) => { if (reply.ok) acknowledged = token }, () => {})
      // From before the first line is read to after the answer.
      await sleep(round * 4)
      session.child.kill('SIGKILL')
      await session.ended
      await taken
      const floor = existsSync(host.at('state/floor')) ? host.read('state/floor') : ''
      expect(floor).toMatch(acknowledged === 0 ? /^(?:\d+ a-\d+\n)?$/ : /^\d+ a-\d+\n$/)
      expect(Number(floor.split(' ')[0])).toBeGreaterThanOrEqual(acknowledged)
    }
    expect(host.one('lease host-1 999999 z')).toMatchObject({ ok: true })
  })

  it.each<[string, (at: FixtureHost) => void]>([
    ['a link', (at) => { mkdirSync(at.at('elsewhere'), { mode: 0o700 }); symlinkSync(at.at('elsewhere'), at.at('state')) }],
    ['a file', (at) => { at.write('state', '') }],
    ['open to its group', (at) => { mkdirSync(at.at('state')); chmodSync(at.at('state'), 0o770) }],
    ['open to others', (at) => { mkdirSync(at.at('state')); chmodSync(at.at('state'), 0o702) }],
    ['open to all', (at) => { mkdirSync(at.at('state')); chmodSync(at.at('state'), 0o777) }],
    ['one whose stage is a link', (at) => { mkdirSync(at.at('state'), { mode: 0o700 }); mkdirSync(at.at('elsewhere')); symlinkSync(at.at('elsewhere'), at.at('state/stage')) }],
    ['one whose lock is a link', (at) => { mkdirSync(at.at('state'), { mode: 0o700 }); symlinkSync(at.at('elsewhere'), at.at('state/lock')) }],
    ['one whose floor is empty', (at) => { mkdirSync(at.at('state'), { mode: 0o700 }); at.write('state/floor', '') }],
    ['one whose floor is a link', (at) => { mkdirSync(at.at('state'), { mode: 0o700 }); symlinkSync(at.at('nowhere'), at.at('state/floor')) }],
    ['one whose floor is no number', (at) => { mkdirSync(at.at('state'), { mode: 0o700 }); at.write('state/floor', '-5 a\n') }],
    ['one whose host is empty', (at) => { mkdirSync(at.at('state'), { mode: 0o700 }); at.write('state/host', '') }],
  ])('does not work with a state folder that is %s', (_what, lay) => {
    lay(host)
    expect(host.talk(['lease host-1 7 a', 'hello 1'])).toMatchObject({ exit: gateCodes.STATE_DIR, replies: [{ code: 'STATE_DIR' }] })
  })

  it.each(['host', 'floor'])('gives no lease and lets go of the lock when the %s cannot be written', async (file) => {
    mkdirSync(host.at(`state/${file}.new`), { recursive: true, mode: 0o700 })
    const session = host.open()
    expect(await session.ask('lease host-1 7 a')).toMatchObject({ code: 'NO_SPACE' })
    expect(await session.ask('unload uptide_v1')).toMatchObject({ code: 'NO_LEASE' })
    rmSync(host.at(`state/${file}.new`), { recursive: true })
    expect(host.one('lease host-1 8 b')).toMatchObject({ ok: true })
    expect(await session.end()).toBe(0)
  })

  it('closes a state folder that others can look into', () => {
    mkdirSync(host.at('state'), { mode: 0o755 })
    expect(host.talk(['lease host-1 7 a'])).toMatchObject({ exit: 0, replies: [{ ok: true }] })
    chmodSync(host.at('state'), 0o755)
    rmSync(host.at('state/stage'), { recursive: true })
    expect(host.one('lease host-1 8 b')).toMatchObject({ ok: true })
    expect(readdirSync(host.at('state'))).toContain('stage')
  })

  it('does not work for anybody but root', () => {
    const other = new FixtureHost(shell, { OWNER: '54321' })
    try {
      expect(other.talk(['lease host-1 7 a', 'hello 1'])).toMatchObject({ exit: gateCodes.NOT_ROOT, replies: [{ code: 'NOT_ROOT' }] })
      expect(other.talk(['facts'])).toMatchObject({ exit: 0, replies: [{ ok: true }] })
    } finally { other.remove() }
  })

  it('keeps two journals of a bounded size', () => {
    mkdirSync(host.at('state'), { mode: 0o700 })
    host.write('state/journal', 'x'.repeat(1_100_000))
    host.talk(['lease host-1 7 a', 'unload uptide_v1'])
    expect(host.read('state/journal.1')).toHaveLength(1_100_000)
    expect(host.read('state/journal')).toMatch(/^\S+ a 7 intent unload uptide_v1\n\S+ a 7 result unload uptide_v1 exit 0\n$/)
  })
})
