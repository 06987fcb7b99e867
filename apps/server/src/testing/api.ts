// The whole control plane in this process with its API on a port of its own, and a few simulated hosts to reach.
import 'reflect-metadata'
import { readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type BodyOf, type Problem, type QueryOf, type ReplyOf, type Route, type RouteName, routes } from '@uptide/contracts/api'
import { GateStream, runningClock, seeded, SimGate, SimKernel, type SimModule, simModule } from '@uptide/fleet-sim'
import { type KlpGeneration, readModuleFile } from '@uptide/livepatch'
import { openStore, type Store } from '@uptide/store'
import { freshDatabase } from '@uptide/store/testing'
import { checkPrivateKey, makePrivateKey, serveSsh, sshRoad } from '@uptide/transport'
import { pino } from 'pino'
import { z } from 'zod'
import { firstToken } from '../access/first-token.js'
import { readEnv } from '../env.js'
import { Reach } from '../execute/reach.js'
import { openQueues } from '../queues/index.js'
import { startApi } from '../roles/api.js'
import type { Parts, Running } from '../roles/parts.js'
import { startScheduler } from '../roles/scheduler.js'
import { startWorker } from '../roles/worker.js'
import { Sealer } from '../secrets/seal.js'
import { freePort } from './redis.js'
import { specKey, specLeaseMs } from './plane.js'

export interface Answer<T = unknown> { readonly status: number; readonly type: string; readonly body: T; readonly problem: Problem & Record<string, unknown>; readonly headers: Headers }

export interface Call<N extends RouteName> { readonly params?: Readonly<Record<string, string>>; readonly query?: QueryOf<N> | Record<string, string>; readonly body?: BodyOf<N> | Uint8Array }

export interface Api {
  readonly url: string
  readonly token: string
  readonly store: Store
  readonly databaseUrl: string
  readonly said: readonly string[]
  /** By the name of the route; a reply that is not as the contract says it throws. */
  call<N extends RouteName>(name: N, call?: Call<N>, token?: string | null): Promise<Answer<ReplyOf<N>>>
  raw(method: string, path: string, init?: { headers?: Record<string, string>; body?: string | Uint8Array; token?: string | null; signal?: AbortSignal }): Promise<Response>
  stop(): Promise<void>
}

const strictReply = (schema: z.ZodType): z.ZodType => (schema instanceof z.ZodObject ? schema.strict() : schema)

export function pathOf(name: RouteName, params: Readonly<Record<string, string>> = {}): string {
  return routes[name].path.replace(/:([a-z]+)/gi, (_, key: string) => encodeURIComponent(params[key] ?? 'nobody'))
}

/** @param roles what runs besides the API. */
export async function startApiPlane(roles: readonly ('scheduler' | 'worker')[] = ['worker', 'scheduler']): Promise<Api> {
  const database = await freshDatabase()
  const port = await freePort()
  const env = readEnv({ DATABASE_URL: database.url, PORT: String(port), LEASE_MS: String(specLeaseMs), SWEEP_MS: '400', ROLES: ['api', ...roles].join(',') })
  const said: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => { said.push(line) } })
  const store = await openStore({ url: database.url })
  const sealer = new Sealer(specKey)
  const queues = await openQueues({ databaseUrl: database.url, log })
  const parts: Parts = { env, store, queues, sealer, log, reach: new Reach(store, sealer, sshRoad({ tcpMs: 2_000, readyMs: 5_000 }), env.UPTIDE_GATE) }
  const running: Running[] = roles.map((role) => (role === 'worker' ? startWorker(parts) : startScheduler(parts)))
  const token = await firstToken(store)
  if (token === null) throw new Error('a fresh database has a token already')
  const api = await startApi(parts)
  const url = `http://127.0.0.1:${port}`
  const raw: Api['raw'] = (method, path, init = {}) => fetch(url + path, {
    method, redirect: 'error', signal: init.signal ?? null, body: (init.body ?? null) as string | Uint8Array<ArrayBuffer> | null,
    headers: { ...init.headers, ...(init.token === null ? {} : { authorization: `Bearer ${init.token ?? token}` }) },
  })
  return {
    url, token, store, databaseUrl: database.url, said, raw, call: caller(raw),
    stop: async () => {
      await queues.close(10_000)
      for (const role of [...running, api]) await role.stop()
      await store.close()
      await database.drop()
    },
  }
}

function caller(raw: Api['raw']): Api['call'] {
  return async <N extends RouteName>(name: N, { params, query, body }: Call<N> = {}, token?: string | null): Promise<Answer<ReplyOf<N>>> => {
    const words = new URLSearchParams(Object.entries(query ?? {}).flatMap(([key, value]) => [value].flat().map((one): [string, string] => [key, String(one)])))
    const bytes = body instanceof Uint8Array
    const response = await raw(routes[name].method, `${pathOf(name, params)}${words.size > 0 ? `?${words}` : ''}`, {
      ...(token === undefined ? {} : { token }),
      ...(body === undefined ? {} : { body: bytes ? body : JSON.stringify(body), headers: { 'content-type': bytes ? 'application/octet-stream' : 'application/json' } }),
    })
    const type = response.headers.get('content-type') ?? ''
    const text = await response.text()
    const parsed: unknown = type.includes('json') ? JSON.parse(text) : text
    const row: Route = routes[name]
    if (response.ok) {
      if (response.status !== (row.status ?? 200)) throw new Error(`${name} answers ${response.status}`)
      if (typeof row.reply !== 'string') strictReply(row.reply).parse(parsed)
    }
    return { status: response.status, type, body: parsed as ReplyOf<N>, problem: parsed as Answer['problem'], headers: response.headers }
  }
}

const fixtures = new URL('../../../../libs/livepatch/src/module/fixtures/', import.meta.url)
/** Real modules, built for the lab's kernels. */
export const moduleFile = (name: 'uptide_v1' | 'uptide_v2' | 'uptide_shadow' | 'bad_notag', kernel: '6.1' | '6.12'): Uint8Array => Uint8Array.from(readFileSync(fileURLToPath(new URL(`${name}-${kernel}.ko`, fixtures))))
export const releases = { '6.1': '6.1.0-50-cloud-amd64', '6.12': '6.12.95+deb12-cloud-amd64' } as const

function moduleOf(bytes: Uint8Array): SimModule | null {
  const read = readModuleFile(bytes)
  if (!read.ok) return null
  const { facts } = read
  return simModule({
    name: facts.name, release: facts.kernelRelease, ...(facts.srcversion ? { srcversion: facts.srcversion } : {}), ...(facts.moduleBuildId ? { buildId: facts.moduleBuildId } : {}),
    objects: facts.objects.map((object) => ({ name: object.name, functions: object.functions.map((name) => ({ name, newName: `new_${name}` })) })), replace: facts.replace === 'yes',
  })
}

export interface SshFleet { readonly port: number; readonly hostKey: string; readonly privateKey: string; readonly gates: ReadonlyMap<string, SimGate>; close(): Promise<void> }

/** Simulated kernels that take the real modules; the login's name says which one is meant. */
export async function serveKernels(kernels: Readonly<Record<string, { generation: KlpGeneration; release: string }>>): Promise<SshFleet> {
  const [clock, chance] = [runningClock(), seeded(11)]
  const gates = new Map(Object.entries(kernels).map(([name, one]) => [name, new SimGate(new SimKernel({ ...one, clock, chance }), { hostname: name, moduleOf })]))
  const privateKey = makePrivateKey()
  const client = checkPrivateKey(privateKey)
  if (!client.ok) throw new Error(client.says)
  const server = await serveSsh({ clientKey: client.publicKey, knows: (name) => gates.has(name), session: (channel, name) => { attach(channel, gates.get(name) as SimGate) } })
  return { port: server.port, hostKey: server.hostKey, privateKey, gates, close: () => server.close() }
}

function attach(channel: Duplex & { exit(code: number): void }, gate: SimGate): void {
  const stream = new GateStream(gate.session(), (text) => { channel.write(text) }, (exit) => { channel.exit(exit); channel.end() })
  channel.on('data', (chunk: Buffer) => { void stream.push(chunk) })
  channel.on('close', () => { stream.close() })
  channel.on('error', () => { stream.close() })
}
