// The gate's conversation: who may say what, in which form, and what becomes of everything else.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gateCodes, gateVerbs } from '@uptide/contracts/gate'
import { FixtureHost, bootId, build, gateFile, gateText, nonceOf, release, shells } from './fixture-host.js'

describe('The text of the gate', () => {
  it('is shellcheck clean', () => {
    const done = spawnSync('shellcheck', ['-s', 'sh', gateFile], { encoding: 'utf8' })
    expect(done.stdout + done.stderr).toBe('')
    expect(done.status).toBe(0)
  })

  it('refuses with codes of the protocol only, and ends the session with their exit status', () => {
    const refused = [...gateText.matchAll(/\b(?:refuse|quit) ([A-Z_]{2,}) (?:'[^']*'|"[^"]*")(?: (\d+))?/g)]
    expect(refused.length).toBeGreaterThan(25)
    for (const [text, code = '', exit] of refused) {
      expect(Object.keys(gateCodes), text).toContain(code)
      const agreed: number = gateCodes[code as keyof typeof gateCodes]
      if (exit !== undefined) expect(Number(exit), text).toBe(agreed)
    }
  })
})

describe.each(shells)('The gate under $shell', ({ shell, argv }) => {
  let host: FixtureHost
  beforeEach(() => { host = new FixtureHost(shell) })
  afterEach(() => { host.remove() })

  it('says who it is and what runs', () => {
    const { exit, replies, stderr } = host.talk(['hello 1'])
    expect(replies).toEqual([{ ok: true, code: '', detail: '', lines: [expect.stringMatching(new RegExp(`^gate=uptide version=1 mode=installed bootid=${bootId} release=${release} build=${build} arch=[a-z0-9_]+ uptime=1234.56$`))] }])
    expect(exit).toBe(0)
    expect(stderr).toBe('')
  })

  it('says nothing unasked and ends with the stream', () => {
    expect(host.talk([])).toMatchObject({ exit: 0, stdout: '', stderr: '' })
    expect(host.talk(Buffer.from(`${nonceOf(0)} hello`))).toMatchObject({ exit: 0, stdout: '' })
  })

  it('echoes each request\'s nonce and answers in order', () => {
    const { stdout } = host.talk(Buffer.from('fedcba9876543210 staged ' + '0'.repeat(64) + '\n0123456789abcdef nonsense\n'))
    expect(stdout).toBe('fedcba9876543210 + staged=0\nfedcba9876543210 = 1\n0123456789abcdef ! UNKNOWN_VERB this%20gate%20has%20no%20verb%20nonsense\n')
  })

  it('ends the session when the server speaks another version', () => {
    expect(host.talk(['hello 2', 'hello 1'])).toMatchObject({ exit: gateCodes.BAD_VERSION, replies: [{ code: 'BAD_VERSION' }] })
  })

  it('asks every verb for exactly its words', () => {
    for (const [verb, { args }] of Object.entries(gateVerbs)) {
      for (const count of [args.length + 1, args.length - 1].filter((each) => each >= 0)) {
        expect(host.talk([[verb, ...Array<string>(count).fill('x')].join(' '), 'hello 1']), `${verb} with ${count}`).toMatchObject({ exit: gateCodes.BAD_REQUEST, replies: [{ code: 'BAD_REQUEST' }] })
      }
    }
  })

  it.each([
    'hello $(touch OWNED)', 'hello `touch OWNED`', 'hello 1;touch OWNED', 'hello 1&&touch OWNED', 'hello 1|touch OWNED', 'hello 1>OWNED', 'hello "1"', 'hello \'1\'', 'hello *', 'hello ?', 'hello [1]', 'hello ~root',
    'hello \\1', 'hello 1\t', 'hello  1', ' hello 1', 'hello 1 ', '', ' ', 'hello {1,2}', 'hello $HOME', 'hello 1\r', 'hello 1#', 'hello !1', 'hello %31', 'h\u00e9llo 1', 'hello \u0661', 'hello 1\u00a0', 'hello \x7f', 'hello \x01', 'hello \x81\x88',
  ])('refuses a request with more than words in it: %j', (line) => {
    const done = host.talk(Buffer.concat([Buffer.from(`${nonceOf(0)} ${line}\n`), Buffer.from(`${nonceOf(1)} hello 1\n`)]))
    expect(done.stdout).toMatch(/^0{15}1 ! BAD_REQUEST [\x21-\x7e]+\n$/)
    expect(done.exit).toBe(gateCodes.BAD_REQUEST)
    expect(readdirSync(host.root)).not.toContain('OWNED')
    expect(existsSync('OWNED')).toBe(false)
  })

  it.each(['ABCDEF0123456789 hello 1', '0123 hello 1', '0123456789abcdef0 hello 1', 'hello 1', '', ' 0123456789abcdef hello 1', '０123456789abcdef hello 1'])('refuses a request without a nonce: %j', (line) => {
    expect(host.talk(Buffer.from(`${line}\n`))).toMatchObject({ exit: gateCodes.BAD_REQUEST, stdout: expect.stringMatching(/^0{16} ! BAD_REQUEST /) })
  })

  it('takes a line of the longest length and none longer', () => {
    const line = (bytes: number): Buffer => Buffer.from(`${nonceOf(0)} ${'x'.repeat(bytes - 17)}\n`)
    expect(host.talk(line(4096)).replies).toMatchObject([{ code: 'UNKNOWN_VERB' }])
    for (const bytes of [4097, 128 * 1024]) expect(host.talk(line(bytes))).toMatchObject({ exit: gateCodes.BAD_REQUEST, replies: [{ code: 'BAD_REQUEST' }] })
  })

  it('reads a NUL as nothing or as a fault, never as the end of a word', () => {
    const done = host.talk(Buffer.from(`${nonceOf(0)} read /proc/uptime\0/../../etc/shadow\n`))
    expect(done.replies).toMatchObject([{ code: expect.stringMatching(/^(?:PATH_REFUSED|BAD_REQUEST)$/) }])
  })

  it.each(['../../bin/sh', 'do_hello', 'hello/', 'keep', 'eval', 'block', 'quit', 'lock', 'HELLO', 'force', 'run', '-', '0'])('knows no verb %j', (verb) => {
    expect(host.one(verb)).toMatchObject({ code: 'UNKNOWN_VERB' })
  })

  it('obeys neither arguments nor its environment', () => {
    const hostile = {
      UPTIDE_MODE: 'zero-install', SSH_ORIGINAL_COMMAND: 'touch OWNED', SYS: '/nowhere', PROC: '/nowhere', STATE: '/nowhere', INSMOD: 'touch', PATH: `${host.root}/evil`, LEASE: 'x 1', BUILD: 'x', ARCH: 'x', IFS: '/', LC_ALL: 'de_DE.UTF-8',
      ENV: host.at('evil/env'), CDPATH: '/', MODE: 'x', DONE: '1', E: 'x', LINE_MAX: '1', OWNER: '12345', GREP_OPTIONS: '-v', POSIXLY_CORRECT: '1', TMPDIR: '/nowhere',
    }
    host.write('evil/env', 'touch OWNED\n')
    for (const tool of ['od', 'cat', 'uname', 'insmod', 'awk']) host.write(`evil/${tool}`, '#!/bin/sh\ntouch OWNED\n', 0o755)
    const spawned = spawnSync(`/usr/bin/${argv[0]}`, [...argv.slice(1), host.gate, '--help', '; touch OWNED'], { input: `${nonceOf(0)} hello 1\n${nonceOf(1)} load m ${'0'.repeat(64)} r -\n`, env: hostile, encoding: 'utf8', cwd: host.root })
    expect(spawned.stdout.replace(/arch=\S+/, 'arch=A')).toBe(`${nonceOf(0)} + gate=uptide version=1 mode=installed bootid=${bootId} release=${release} build=${build} arch=A uptime=1234.56\n${nonceOf(0)} = 1\n${nonceOf(1)} ! NO_LEASE take%20a%20lease%20first\n`)
    expect(readdirSync(host.root)).not.toContain('OWNED')
  })

  it('comes ahead of itself on the same stream, and greets', async () => {
    const text = Buffer.from(`UPTIDE_MODE=zero-install\n${host.read('uptide-gate')}`)
    const child = spawn(argv[0], [...argv.slice(1), '-c', `eval "$(head -c ${text.length})"`])
    let out = ''
    const said = new Promise<void>((done) => { child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); if (out.includes('\n')) done() }) })
    child.stdin.write(text)
    await said
    expect(out).toBe('uptide-gate 1\n')
    child.stdin.end(`${nonceOf(0)} hello 1\n`)
    const exit = await new Promise((done) => { child.on('close', done) })
    expect(out).toContain('mode=zero-install')
    expect(exit).toBe(0)
  })

  it('ends when nobody reads any more, also where SIGPIPE is ignored', async () => {
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    for (const before of ['', 'trap "" PIPE']) {
      const session = host.open(before)
      session.send('watch uptide_v1 600')
      await session.until((text) => text.includes('progress'))
      session.child.stdout.destroy()
      const at = Date.now()
      await session.ended
      expect(Date.now() - at).toBeLessThan(4000)
    }
  })
})
