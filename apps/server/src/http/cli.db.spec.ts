// The built command line against a real server: what it prints for programs, and its exit codes.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, moduleFile, releases, serveKernels, type SshFleet, startApiPlane } from '../testing/api.js'
import { freePort } from '../testing/redis.js'

const program = fileURLToPath(new URL('../../../cli/dist/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'uptide-cli-'))
let api: Api
let fleet: SshFleet

beforeAll(async () => {
  fleet = await serveKernels({ 'a-1': { generation: 'klp61', release: releases['6.1'] }, 'b-1': { generation: 'klp611', release: releases['6.12'] } })
  api = await startApiPlane()
  writeFileSync(path.join(folder, 'id'), fleet.privateKey, { mode: 0o600 })
  for (const kernel of ['6.1', '6.12'] as const) writeFileSync(path.join(folder, `fix-${kernel}.ko`), moduleFile('uptide_v1', kernel))
  writeFileSync(path.join(folder, 'no.ko'), 'no module')
})
afterAll(async () => { await api?.stop(); await fleet?.close(); rmSync(folder, { recursive: true, force: true }) })

interface Said { readonly code: number | null; readonly out: string; readonly err: string }
function uptide(words: readonly string[], env: Record<string, string> = {}): Promise<Said> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [program, ...words], { cwd: folder, env: { PATH: '/usr/bin:/bin', HOME: folder, UPTIDE_URL: api.url, UPTIDE_TOKEN: api.token, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, err]: [string[], string[]] = [[], []]
    child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text))
    child.once('error', fail)
    child.once('close', (code) => { done({ code, out: out.join(''), err: err.join('') }) })
  })
}
const json = async (...words: string[]): Promise<unknown> => {
  const { code, out, err } = await uptide([...words, '--json'])
  expect(code, err).toBe(0)
  return JSON.parse(out.trim().split('\n').at(-1) ?? '')
}

describe('the command line', () => {
  it('enrols hosts, once their key is confirmed', async () => {
    const words = (name: string) => ['host', 'add', name, '--address', '127.0.0.1', '--port', String(fleet.port), '--user', name, '--gate', 'installed', '--key', 'id']
    const asked = await uptide(words('a-1'))
    expect(asked.code).toBe(6)
    const [shown = ''] = /SHA256:\S{43}/.exec(asked.err) ?? []
    expect(await json(...words('a-1'), '--fingerprint', shown)).toMatchObject({ name: 'a-1', state: 'reachable' })
    expect(await json(...words('b-1'), '--host-key', fleet.hostKey)).toMatchObject({ name: 'b-1', kernelRelease: releases['6.12'] })
    expect((await json('host', 'list')) as object[]).toHaveLength(2)
    expect((await uptide(['host', 'probe', 'a-1'])).code).toBe(0)
  })

  it('adds a patch with a build for each kernel', async () => {
    expect(await json('patch', 'add', 'fix', '--title', 'A fix', 'fix-6.1.ko', 'fix-6.12.ko')).toMatchObject({ name: 'fix' })
    expect((await uptide(['patch', 'show', 'fix'])).out).toContain(releases['6.12'])
    const refused = await uptide(['patch', 'add', 'bad', '--title', 'No fix', 'no.ko'])
    expect(refused.code).toBe(6)
    expect(refused.err).toContain('not an ELF file')
  })

  it('plans, rolls out and watches to the end', async () => {
    expect(await json('rollout', 'plan', '--patch', 'fix', '--all')).toMatchObject({ hosts: 2, waves: [{ canary: true }] })
    const watched = await uptide(['rollout', 'create', '--patch', 'fix', '--all', '--bake', '0s', '--watch', '--json'])
    expect(watched.code, watched.err).toBe(0)
    expect(((await json('rollout', 'list')) as { state: string }[]).map((one) => one.state)).toEqual(['succeeded'])
    expect((await uptide(['rollout', 'hold', 'fix-1'])).code).toBe(6)
    expect((await uptide(['rollout', 'revert', 'fix-1', '--watch', '--json'])).code).toBe(0)
    expect(await json('events', '--verify')).toMatchObject({ ok: true })
  })

  const endings: readonly (readonly [string, readonly string[], number, Record<string, string>?])[] = [
    ['a wrong command line', ['host', 'ad'], 2],
    ['a server that is not there', ['host', 'list'], 3, { UPTIDE_URL: 'http://127.0.0.1:1' }],
    ['a token that is not known', ['host', 'list'], 4, { UPTIDE_TOKEN: 'uptide_x' }],
    ['no token', ['host', 'list'], 4, { UPTIDE_TOKEN: '' }],
    ['a host that is not there', ['host', 'show', 'nobody'], 5],
    ['a request that is refused', ['host', 'add', 'x', '--address', '127.0.0.1', '--credential', 'none'], 6],
  ]
  for (const [says, words, code, env] of endings) {
    it(`ends with its code at ${says}`, async () => {
      const said = await uptide(words, env)
      expect(said.code, said.err).toBe(code)
      expect(said.err).not.toBe('')
      expect(said.err).not.toMatch(/at .*\.js:\d+/)
    })
  }

  it('prints nothing but JSON for programs when it is refused too', async () => {
    const { code, out, err } = await uptide(['host', 'show', 'nobody', '--json'])
    expect({ code, err }).toEqual({ code: 5, err: '' })
    expect(JSON.parse(out)).toMatchObject({ error: { exit: 5, problem: { code: 'NO_SUCH_HOST', status: 404 } } })
  })

  it('says which port is closed when a host does not answer', async () => {
    const said = await uptide(['host', 'add', 'gone', '--address', '127.0.0.1', '--port', String(await freePort()), '--credential', 'id'])
    expect(said.code).toBe(6)
    expect(said.err).toContain('127.0.0.1')
  })
})
