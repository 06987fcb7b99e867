// What the crash tests stand on: a database of their own, simulated hosts in another process, a server to be killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rollout, Target } from '@uptide/contracts/api'
import { checkPrivateKey, makePrivateKey } from '@uptide/transport'
import { freePort } from '../free-port.js'
import { root } from '../plane.js'

export interface SimHosts { readonly port: number; readonly hostKey: string; readonly hosts: readonly string[]; readonly journal: string; readonly seed: number; stop(): void }

export interface Effect { readonly host: string; readonly verb: string; readonly args: readonly string[]; readonly token: string; readonly attemptId: string; readonly result: string; readonly bootId: string }

export const workFolder = (): { dir: string; remove(): void } => {
  const dir = mkdtempSync(path.join(tmpdir(), 'uptide-crash-'))
  return { dir, remove: () => { rmSync(dir, { recursive: true, force: true }) } }
}

/** @param again an earlier fleet whose place this one takes: same port and key, hosts as after a fresh install. */
export async function startHosts(dir: string, count: number, privateKey: string, again?: SimHosts): Promise<SimHosts> {
  const seed = Number(again?.seed ?? 0) + 1
  const journal = path.join(dir, `effects-${seed}.jsonl`)
  const keyFile = path.join(dir, 'host-key')
  if (again) again.stop()
  else writeFileSync(keyFile, makePrivateKey(), { mode: 0o600 })
  const checked = checkPrivateKey(privateKey)
  if (!checked.ok) throw new Error(checked.says)
  const child = spawn(process.execPath, [path.join(root, 'tools/dist/sim-fleet.js'), '--hosts', String(count), '--client-key', checked.publicKey, '--journal', journal, '--host-key-file', keyFile, '--seed', String(seed), ...(again ? ['--port', String(again.port)] : [])], { stdio: ['ignore', 'pipe', 'inherit'] })
  const line = await new Promise<string>((done, fail) => {
    createInterface({ input: child.stdout }).once('line', done)
    child.once('exit', (code) => { fail(new Error(`the simulated fleet ended (${code})`)) })
  })
  const said = JSON.parse(line) as { port: number; hostKey: string; hosts: string[] }
  return { ...said, journal, seed, stop: () => { child.kill('SIGKILL') } }
}

export function readEffects(journal: string): Effect[] {
  let text = ''
  try { text = readFileSync(journal, 'utf8') } catch { return [] }
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Effect)
}

/** Short times: a lease of 1.5 s is recovered within about 3 s. */
const shortTimes = { LEASE_MS: '1500', SWEEP_MS: '400', LOG_LEVEL: 'warn' }

export interface Server {
  readonly url: string
  readonly child: ChildProcess
  readonly token: string | null
  readonly log: string[]
  readonly exited: Promise<{ code: number | null; signal: string | null }>
}

export async function startServer(options: { dir: string; databaseUrl: string; redisUrl?: string; env?: Record<string, string>; waitUntilUp?: boolean; port?: number }): Promise<Server> {
  const first = !existsSync(path.join(options.dir, 'uptide.key'))
  const port = options.port ?? (await freePort())
  const child = spawn(process.execPath, [path.join(root, 'apps/server/dist/main.js')], {
    env: { ...process.env, ...shortTimes, UPTIDE_ROOT: root, UPTIDE_DATA: options.dir, DATABASE_URL: options.databaseUrl, ...(options.redisUrl === undefined ? {} : { REDIS_URL: options.redisUrl }), PORT: String(port), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let token: string | null = null
  const log: string[] = []
  createInterface({ input: child.stdout }).on('line', (line) => { token = /shown once\): (\S+)/.exec(line)?.[1] ?? token })
  createInterface({ input: child.stderr }).on('line', (line) => { if (log.push(line) > 500) log.shift() })
  const exited = new Promise<{ code: number | null; signal: string | null }>((done) => { child.once('exit', (code, signal) => { done({ code, signal }) }) })
  const url = `http://127.0.0.1:${port}`
  let over = false
  void exited.then(() => { over = true })
  for (const until = Date.now() + 90_000; options.waitUntilUp !== false && !over && Date.now() < until;) {
    if (await fetch(`${url}/api/v1/health`).then((reply) => reply.ok, () => false)) break
    await sleep(50)
  }
  // A first start prints its token about when it answers; on a busy machine the line may be read a moment later.
  for (const until = Date.now() + 3_000; first && options.waitUntilUp !== false && token === null && !over && Date.now() < until;) await sleep(20)
  return { url, child, log, exited, get token() { return token } }
}

export class Api {
  constructor(readonly url: string, private readonly token: string) {}

  async call<T>(method: string, route: string, body?: unknown): Promise<T> {
    const bytes = body instanceof Uint8Array
    const reply = await fetch(`${this.url}/api/v1${route}`, {
      method, headers: { authorization: `Bearer ${this.token}`, ...(body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' }) },
      ...(body === undefined ? {} : { body: bytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    })
    const text = await reply.text()
    if (!reply.ok) throw new Error(`${method} ${route}: ${reply.status} ${text}`)
    return JSON.parse(text) as T
  }

  at(url: string): Api { return new Api(url, this.token) }
  rollout(id: string): Promise<Rollout> { return this.call('GET', `/rollouts/${id}`) }
  async targets(id: string): Promise<Target[]> { return (await this.call<{ items: Target[] }>('GET', `/rollouts/${id}/targets?limit=1000`)).items }
}

/** Enrols the hosts and uploads the lab's v1 for both kernels. */
export async function furnish(api: Api, hosts: SimHosts, privateKey: string): Promise<void> {
  await api.call('POST', '/credentials', { name: 'default', privateKey })
  for (const name of hosts.hosts) await api.call('POST', '/hosts', { name, address: '127.0.0.1', port: hosts.port, user: name, gateMode: 'installed', hostKey: hosts.hostKey })
  await api.call('POST', '/patches', { name: 'fix', title: 'fix' })
  for (const kernel of ['6.1', '6.12']) await api.call('POST', '/patches/fix/builds', new Uint8Array(readFileSync(path.join(root, `libs/livepatch/src/module/fixtures/uptide_v1-${kernel}.ko`))))
}

export const newKey = makePrivateKey

export async function untilState(api: Api, id: string, states: readonly string[], maxMs = 60_000): Promise<Rollout> {
  for (const until = Date.now() + maxMs; Date.now() < until;) {
    const rollout = await api.rollout(id).catch(() => null)
    if (rollout && states.includes(rollout.state)) return rollout
    await sleep(100)
  }
  const last = await api.rollout(id).catch((error: Error) => error.message)
  const targets = await api.targets(id).catch(() => [])
  throw new Error(`rollout ${id} is not ${states.join(' or ')} after ${maxMs} ms: ${JSON.stringify(last).slice(0, 600)} ${targets.map((one) => `${one.host}:${one.state}:${one.reason?.code ?? ''}`).join(' ')}`)
}
