// Bytes on their way to a host: counted, hashed, put in place whole or not at all, and the stream never out of step.
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FixtureHost, type Request, sha256, shells } from './fixture-host.js'

const lease = 'lease host-1 7 a'
const stage = (body: Uint8Array, digest = sha256(body), length = body.length): Request => ({ line: `stage ${digest} ${length}`, body })
const codes = (host: FixtureHost, requests: readonly Request[]): string[] => host.talk(requests).replies.map((reply) => (reply.ok ? '=' : reply.code))

// Every byte, newlines, NULs, what looks like requests, and more than a pipe holds.
const binary = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, index) => index)), Buffer.from('\n0000000000000001 hello 1\n\0\n'), Buffer.alloc(300_000, '\n\0\xff'), Buffer.from('tail without a newline')])

describe.each(shells)('The gate under $shell', ({ shell }) => {
  let host: FixtureHost
  beforeEach(() => { host = new FixtureHost(shell) })
  afterEach(() => { host.remove() })
  const staged = (): string[] => readdirSync(host.at('state/stage'))

  it('stages bytes as they are', () => {
    const digest = sha256(binary)
    const { replies } = host.talk([lease, `staged ${digest}`, stage(binary), `staged ${digest}`])
    expect(replies.map((reply) => (reply.ok ? reply.lines : reply))).toEqual([[], ['staged=0'], [], ['staged=1']])
    expect(readFileSync(host.at(`state/stage/${digest}.ko`)).equals(binary)).toBe(true)
    expect(statSync(host.at(`state/stage/${digest}.ko`)).mode & 0o777).toBe(0o600)
    expect(staged()).toEqual([`${digest}.ko`])
  })

  it.each([0, 1, 65_535, 65_536, 65_537, 200_001])('takes exactly %i bytes, with the next request right behind them', (length) => {
    const body = Buffer.alloc(length, 'x\n')
    expect(codes(host, [lease, stage(body), 'hello 1', stage(body), 'hello 1'])).toEqual(['=', '=', '=', '=', '='])
  })

  it('takes bytes that come in pieces', async () => {
    const session = host.open()
    await session.ask(lease)
    session.send(`stage ${sha256(binary)} ${binary.length}`)
    for (let at = 0; at < binary.length; at += 50_000) { session.child.stdin.write(binary.subarray(at, at + 50_000)); await sleep(15) }
    expect(await session.ask('hello 1')).toMatchObject({ ok: true })
    expect(staged()).toEqual([`${sha256(binary)}.ko`])
    expect(await session.end()).toBe(0)
  })

  it('refuses bytes that are not the ones announced, and stays in step', () => {
    const other = sha256('other')
    expect(codes(host, [lease, stage(binary, other), `staged ${other}`, stage(binary.subarray(0, 100), sha256(binary)), 'hello 1'])).toEqual(['=', 'HASH_MISMATCH', '=', 'HASH_MISMATCH', '='])
    expect(staged()).toEqual([])
  })

  it('takes the bytes off the stream also where it refuses them', () => {
    expect(codes(host, [stage(binary), 'hello 1', lease, 'hello 1'])).toEqual(['NO_LEASE', '=', '=', '='])
  })

  it('refuses more than a module may have, and stays in step', () => {
    const small = new FixtureHost(shell, { STAGE_MAX: '1000' })
    try {
      expect(codes(small, [lease, stage(Buffer.alloc(1001)), 'hello 1', stage(Buffer.alloc(1000)), 'hello 1'])).toEqual(['=', 'TOO_LARGE', '=', '=', '='])
    } finally { small.remove() }
  })

  it('refuses what leaves no room beside it, and stays in step', () => {
    const full = new FixtureHost(shell, { SPARE_KIB: '999999999999' })
    try {
      expect(codes(full, [lease, stage(binary), 'hello 1'])).toEqual(['=', 'NO_SPACE', '='])
      expect(readdirSync(full.at('state/stage'))).toEqual([])
    } finally { full.remove() }
  })

  it('refuses what the disk does not take to the end, and stays in step', async () => {
    // A limit of 64 KiB a file stands for a disk that fills up: the write fails in the middle.
    const session = host.open('ulimit -f 128')
    await session.ask(lease)
    expect(await session.ask(`stage ${sha256(binary)} ${binary.length}`, binary)).toMatchObject({ code: 'NO_SPACE' })
    expect(await session.ask('hello 1')).toMatchObject({ ok: true })
    expect(await session.ask(`stage ${sha256('small')} 5`, Buffer.from('small'))).toMatchObject({ ok: true })
    expect(await session.end()).toBe(0)
    expect(staged()).toEqual([`${sha256('small')}.ko`])
  })

  it.each(['-1', '+1', '01', '1.5', '0x10', '1000000000', '99999999999999999999', 'x', ''])('refuses %j for a length', (length) => {
    const done = host.talk([lease, `stage ${sha256('')} ${length}`.trim(), 'hello 1'])
    expect(done).toMatchObject({ exit: 64, replies: [{ ok: true }, { code: 'BAD_REQUEST' }] })
  })

  it.each(['../../../etc/passwd', 'A'.repeat(64), '0'.repeat(63), '0'.repeat(65), `${'0'.repeat(60)}/../`])('refuses %s for a digest', (digest) => {
    expect(host.talk([lease, `stage ${digest} 5`])).toMatchObject({ exit: 64, replies: [{ ok: true }, { code: 'BAD_REQUEST' }] })
  })

  it('leaves nothing behind when the stream ends in the middle', () => {
    const done = host.talk([lease, { line: `stage ${sha256(binary)} ${binary.length}`, body: binary.subarray(0, 100_000) }])
    expect(done.exit).toBe(0)
    expect(done.replies).toHaveLength(1)
    expect(staged()).toEqual([])
  })

  it('leaves an unfinished file at most when it is killed, and clears it away', async () => {
    const session = host.open()
    await session.ask(lease)
    session.send(`stage ${sha256(binary)} ${binary.length}`, binary.subarray(0, 100_000))
    while (staged().length === 0) await sleep(10)
    session.child.kill('SIGKILL')
    await session.end()
    expect(staged()).toEqual([expect.stringMatching(/^incoming\.\d+$/)])
    expect(codes(host, [lease, `staged ${sha256(binary)}`, `load m ${sha256(binary)} 6.1.0-50-cloud-amd64 -`, stage(binary)])).toEqual(['=', '=', 'NOT_STAGED', '='])
    expect(staged()).toEqual([`${sha256(binary)}.ko`])
  })

  it('keeps few modules', () => {
    const bodies = Array.from({ length: 10 }, (_, index) => Buffer.from(`module ${index}`))
    expect(codes(host, [lease, ...bodies.map((body) => stage(body))])).toEqual(Array<string>(11).fill('='))
    expect(staged().length).toBeLessThanOrEqual(8)
    expect(staged()).toContain(`${sha256('module 9')}.ko`)
  })

  it('follows no link in the stage', () => {
    host.one(lease)
    const digest = sha256(binary)
    host.write('precious', 'precious')
    symlinkSync(host.at('precious'), host.at(`state/stage/${digest}.ko`))
    const { replies } = host.talk([lease, `staged ${digest}`, `load m ${digest} 6.1.0-50-cloud-amd64 -`, stage(binary)])
    expect(replies.map((reply) => reply.code || reply.lines)).toEqual([[], ['staged=0'], 'NOT_STAGED', []])
    expect(host.read('precious')).toBe('precious')
    expect(lstatSync(host.at(`state/stage/${digest}.ko`)).isFile()).toBe(true)
  })

  it('says so when it cannot put the bytes in place', () => {
    host.one(lease)
    mkdirSync(host.at(`state/stage/${sha256(binary)}.ko/${'x'}`), { recursive: true })
    const { replies } = host.talk([lease, stage(binary), `staged ${sha256(binary)}`, 'hello 1'])
    expect(replies.map((reply) => reply.code || reply.lines[0]?.slice(0, 8))).toEqual([undefined, 'IO', 'staged=0', 'gate=upt'])
    expect(existsSync(host.at(`state/stage/${sha256(binary)}.ko/x`))).toBe(true)
  })
})
