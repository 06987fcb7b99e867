// The built control plane as a process: first start, next start, orderly stop, and what it says when it cannot go on.
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { freshDatabase } from '@uptide/store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from './testing/redis.js'
import { until } from './testing/until.js'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface Started {
  readonly child: ChildProcess
  readonly out: string[]
  readonly err: string[]
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

const started: Started[] = []

function start(env: Readonly<Record<string, string>>): Started {
  const child = spawn(process.execPath, [main], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const one: Started = { child, out: [], err: [], exited: new Promise((done) => { child.once('exit', (code, signal) => { done({ code, signal }) }) }) }
  child.stdout.on('data', (chunk: Buffer) => { one.out.push(chunk.toString()) })
  child.stderr.on('data', (chunk: Buffer) => { one.err.push(chunk.toString()) })
  started.push(one)
  return one
}

const said = (one: Started): string => one.err.join('')
const up = (one: Started): Promise<void> => until('it is up', () => {
  if (one.child.exitCode !== null) throw new Error(`it ended: ${said(one)}`)
  return said(one).includes('"Uptide is up"')
}, 60_000)

describe('a control plane on embedded stores', () => {
  let dir: string
  let port: number
  const pidFile = (): string => path.join(dir, 'postgres/data/postmaster.pid')
  const postgres = (): number => Number(readFileSync(pidFile(), 'utf8').split('\n')[0])

  beforeAll(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'uptide-main-'))
    chmodSync(dir, 0o755)
    port = await freePort()
  })
  afterAll(async () => {
    for (const { child, exited } of started) { if (child.exitCode === null && child.signalCode === null) { child.kill('SIGKILL'); await exited } }
    if (existsSync(pidFile())) { try { process.kill(postgres(), 'SIGKILL') } catch { /* gone */ } }
    rmSync(dir, { recursive: true, force: true })
  })

  it('comes up from nothing, shows its token once and its log as JSON, and stops in order with its database', async () => {
    const one = start({ UPTIDE_DATA: dir, PORT: String(port) })
    await up(one)
    expect(one.out.join('')).toMatch(/^Admin token \(shown once\): \S{20,}\n$/)
    const token = one.out.join('').trim().split(' ').at(-1) ?? ''
    expect(said(one)).not.toContain(token)
    for (const line of said(one).trim().split('\n')) expect(() => JSON.parse(line) as unknown).not.toThrow()
    expect(statSync(path.join(dir, 'uptide.key')).mode & 0o777).toBe(0o600)
    expect((await fetch(`http://127.0.0.1:${port}/api/v1/health`)).status).toBe(200)
    const before = performance.now()
    one.child.kill('SIGTERM')
    expect(await one.exited).toEqual({ code: 0, signal: null })
    expect(performance.now() - before).toBeLessThan(20_000)
    expect(existsSync(pidFile())).toBe(false)
  })

  it('says who is there when it is started a second time, and ends with 3', async () => {
    const one = start({ UPTIDE_DATA: dir, PORT: String(port) })
    await up(one)
    const second = start({ UPTIDE_DATA: dir, PORT: String(port) })
    expect((await second.exited).code).toBe(3)
    expect(said(second)).toBe(`uptide: a control plane runs here already: process ${one.child.pid} at http://127.0.0.1:${port}.\n        Use it, stop it (kill ${one.child.pid}), or start this one on another port (PORT=…): two on one database are safe.\n`)
    one.child.kill('SIGKILL')
    await one.exited
  })

  it('takes over the database that a kill -9 left running, and shows no second token', async () => {
    const left = postgres()
    const one = start({ UPTIDE_DATA: dir, PORT: String(port) })
    await up(one)
    expect(postgres()).toBe(left)
    expect(said(one)).toContain('the embedded PostgreSQL was running already')
    expect(one.out.join('')).toBe('')
  })

  it('ends with a sentence when its database is killed, and comes up again at the next start', async () => {
    const one = started.at(-1) as Started
    process.kill(postgres(), 'SIGKILL')
    expect((await one.exited).code).toBe(1)
    expect(said(one)).toMatch(/The embedded PostgreSQL \(process \d+\) has ended\. .* Uptide ends; start it again\./)
    const next = start({ UPTIDE_DATA: dir, PORT: String(port) })
    await up(next)
    next.child.kill('SIGTERM')
    expect((await next.exited).code).toBe(0)
  })
})

describe('a control plane that cannot start', () => {
  it.each([
    [{ PORT: 'eighty' }, /^uptide: The environment is not as it has to be:\n {2}PORT has to be a whole number from 1 to 65535\n$/],
    [{ UPTIDE_FAIL_AT: 'nowhere' }, /UPTIDE_FAIL_AT: there is no fail-point nowhere\. There are: /],
    [{ DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/none' }, /^uptide: Can't reach database server at `127.0.0.1:1`/],
  ])('%j: says why in words, without a password, and ends with 1', async (env, says) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'uptide-main-'))
    const one = start({ UPTIDE_DATA: dir, PORT: String(await freePort()), ...env } as unknown as Record<string, string>)
    expect((await one.exited).code).toBe(1)
    expect(said(one)).toMatch(says)
    expect(said(one)).not.toContain('hunter2')
    rmSync(dir, { recursive: true, force: true })
  })

  it('refuses a database that acknowledges what it has not written', async () => {
    const database = await freshDatabase()
    const dir = mkdtempSync(path.join(tmpdir(), 'uptide-main-'))
    const url = new URL(database.url)
    url.searchParams.set('options', '-c synchronous_commit=off')
    const one = start({ UPTIDE_DATA: dir, PORT: String(await freePort()), DATABASE_URL: url.toString() })
    expect((await one.exited).code).toBe(1)
    expect(said(one)).toMatch(/synchronous_commit = off: .* Set it to on\./)
    rmSync(dir, { recursive: true, force: true })
    await database.drop()
  })
})
