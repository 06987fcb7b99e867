// Simulated hosts behind a real SSH server in this very process, enrolled through the store as an operator would.
import type { Duplex } from 'node:stream'
import { bytesOf, GateStream, labModules, runningClock, seeded, sha256Of, SimGate, SimKernel, type SimModule } from '@uptide/fleet-sim'
import type { KlpGeneration } from '@uptide/livepatch'
import { newId, type Store } from '@uptide/store'
import { checkPrivateKey, fingerprint, makePrivateKey, parseHostKey, serveSsh } from '@uptide/transport'
import { credentialPlace } from '../execute/reach.js'
import { Secret, type Sealer } from '../secrets/seal.js'

export interface SimHosts {
  readonly gates: ReadonlyMap<string, SimGate>
  readonly port: number
  readonly hostKey: string
  readonly privateKey: string
  close(): Promise<void>
}

/** How much faster than ours the hosts' time runs: a gate looks at a transition once a second of it. */
const hostSpeed = 4

/** @param kernels name of each host and the generation of its kernel. */
export async function serveHosts(kernels: Readonly<Record<string, KlpGeneration>>, options: { sigEnforce?: readonly string[]; loadMs?: number } = {}): Promise<SimHosts> {
  const clock = runningClock(hostSpeed)
  const chance = seeded(7)
  const gates = new Map(Object.entries(kernels).map(([name, generation]) => {
    const kernel = new SimKernel({ generation, clock, chance, sigEnforce: options.sigEnforce?.includes(name) ?? false })
    return [name, new SimGate(kernel, { hostname: name, ...(options.loadMs === undefined ? {} : { loadMs: options.loadMs }) })]
  }))
  const privateKey = makePrivateKey()
  const client = checkPrivateKey(privateKey)
  if (!client.ok) throw new Error(client.says)
  const server = await serveSsh({ clientKey: client.publicKey, knows: (name) => gates.has(name), session: (stream, name) => { attach(stream, gates.get(name) as SimGate) } })
  return { gates, port: server.port, hostKey: server.hostKey, privateKey, close: () => server.close() }
}

function attach(channel: Duplex & { exit(code: number): void }, gate: SimGate): void {
  const stream = new GateStream(gate.session(), (text) => { channel.write(text) }, (exit) => { channel.exit(exit); channel.end() })
  channel.on('data', (chunk: Buffer) => { void stream.push(chunk) })
  channel.on('close', () => { stream.close() })
  channel.on('error', () => { stream.close() })
}

const principal = 'token:spec'

export interface Enrolled { readonly patchId: string; readonly moduleName: string; target(host: string): { hostId: string; hostName: string; buildId: string } }

/** Enrols every host with one sealed credential, and adds a patch with a build for each kernel among them. */
export async function enrol(store: Store, sealer: Sealer, hosts: SimHosts, module: 'uptide_v1' | 'uptide_v2' = 'uptide_v1'): Promise<Enrolled> {
  const run = newId().slice(-8)
  const credentialId = newId()
  const sealed = sealer.seal(credentialPlace(credentialId), new Secret(JSON.stringify({ privateKey: hosts.privateKey })))
  await store.addCredential({ id: credentialId, name: `key-${run}`, publicKey: 'ssh-ed25519 of the spec', sealed, keyVersion: sealer.keyVersion }, principal)
  const patch = await store.addPatch({ name: `fix-${run}`, title: 'A fix', description: '', cves: [], severity: 'important' }, principal)
  if (!patch.ok) throw new Error('the patch was not made')
  const builds = new Map<string, string>()
  const ids = new Map<string, string>()
  const key = parseHostKey(hosts.hostKey)
  if (!key) throw new Error('the host key cannot be read')
  for (const [name, { kernel }] of hosts.gates) {
    if (!builds.has(kernel.release)) builds.set(kernel.release, await addBuild(store, patch.id, `fix-${run}`, kernel, labModules(kernel.release)[module]))
    const host = await store.addHost({ name: `${name}-${run}`, address: '127.0.0.1', port: hosts.port, user: name, gateMode: 'installed', hostKey: hosts.hostKey, hostKeySha256: fingerprint(key.blob), credentialId, labels: {} }, principal)
    if (!host.ok) throw new Error(`the host ${name} was not enrolled`)
    ids.set(name, host.id)
  }
  return {
    patchId: patch.id, moduleName: module,
    target: (name) => ({ hostId: ids.get(name) ?? '', hostName: `${name}-${run}`, buildId: builds.get(hosts.gates.get(name)?.kernel.release ?? '') ?? '' }),
  }
}

async function addBuild(store: Store, patchId: string, patchName: string, kernel: SimKernel, module: SimModule): Promise<string> {
  const bytes = bytesOf(module)
  const build = await store.addBuild({
    patchId, patchName, sha256: sha256Of(bytes), bytes, kernelRelease: kernel.release, kernelBuildId: kernel.buildId, arch: 'x86_64', moduleName: module.name,
    srcversion: module.srcversion, moduleBuildId: module.buildId, vermagic: `${kernel.release} SMP preempt mod_unload modversions`,
    objects: module.objects.map((object) => ({ name: object.name, functions: object.functions.map((fn) => fn.name) })), objectsSource: 'relocations',
    replace: 'no', replaceSource: 'declared', rollbackRisk: { level: 'low', reasons: [] }, signature: { present: false, says: 'not signed' },
  }, principal)
  if (!build.ok) throw new Error('the build was not made')
  return build.id
}
