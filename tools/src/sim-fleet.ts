// A simulated fleet as a process of its own: kernels in memory behind a real SSH server on loopback. It outlives a
// control plane that is killed, and writes what was done to each host to a file, for whoever checks afterwards.
//
//   node tools/dist/sim-fleet.js --hosts 20 --client-key "ssh-ed25519 AAAA…" [--journal FILE] [--seed N] [--releases A,B]
import { appendFileSync, readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { parseArgs } from 'node:util'
import { GateStream, runningClock, seeded, SimGate, SimKernel, simModule, type SimModule, simModuleOf } from '@uptide/fleet-sim'
import { type KlpGeneration, readModuleFile } from '@uptide/livepatch'
import { serveSsh } from '@uptide/transport'

/** The lab's kernels, so that the lab's own modules fit. */
const generationOf = (release: string): KlpGeneration => (release.startsWith('6.12') ? 'klp611' : release.startsWith('6.1.') ? 'klp61' : 'klp51')

/** A real `.ko` as the simulated kernel takes it: by what the file says of itself. */
export function moduleOf(bytes: Uint8Array): SimModule | null {
  const simulated = simModuleOf(bytes)
  if (simulated) return simulated
  const read = readModuleFile(bytes)
  if (!read.ok) return null
  const { facts } = read
  return simModule({
    name: facts.name, release: facts.kernelRelease, ...(facts.srcversion ? { srcversion: facts.srcversion } : {}), ...(facts.moduleBuildId ? { buildId: facts.moduleBuildId } : {}),
    objects: facts.objects.map((object) => ({ name: object.name, functions: object.functions.map((name) => ({ name, newName: `new_${name}` })) })), replace: facts.replace === 'yes',
  })
}

export interface Fleet { readonly port: number; readonly hostKey: string; readonly gates: ReadonlyMap<string, SimGate>; close(): Promise<void> }

export async function serveFleet(options: { hosts: number; seed: number; releases: readonly string[]; clientKey: string; hostKey?: string; port?: number; journal?: string }): Promise<Fleet> {
  const chance = seeded(options.seed)
  const clock = runningClock()
  const gates = new Map<string, SimGate>()
  for (let n = 1; n <= options.hosts; n++) {
    const release = options.releases[(n - 1) % options.releases.length] ?? '6.1.0'
    const name = `sim-${n}`
    gates.set(name, new SimGate(new SimKernel({ generation: generationOf(release), release, clock, chance }), { hostname: name, moduleOf }))
  }
  const server = await serveSsh({
    clientKey: options.clientKey, ...(options.hostKey === undefined ? {} : { hostKey: options.hostKey }), ...(options.port === undefined ? {} : { port: options.port }), knows: (name) => gates.has(name),
    session: (stream, name) => { attach(stream, name, gates.get(name) as SimGate, options.journal) },
  })
  return { port: server.port, hostKey: server.hostKey, gates, close: () => server.close() }
}

function attach(channel: Duplex & { exit(code: number): void }, name: string, gate: SimGate, journal: string | undefined): void {
  let written = gate.effects.length
  const record = (): void => {
    if (journal === undefined) return
    for (; written < gate.effects.length; written++) appendFileSync(journal, `${JSON.stringify({ host: name, ...gate.effects[written], token: gate.effects[written]?.token.toString() })}\n`)
  }
  const stream = new GateStream(gate.session(), (text) => { record(); channel.write(text) }, (exit) => { record(); channel.exit(exit); channel.end() })
  channel.on('data', (chunk: Buffer) => { void stream.push(chunk).then(record) })
  channel.on('close', () => { stream.close(); record() })
  channel.on('error', () => { stream.close() })
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { hosts: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' }, releases: { type: 'string', default: '6.1.0-50-cloud-amd64,6.12.95+deb12-cloud-amd64' }, 'client-key': { type: 'string' }, port: { type: 'string' }, 'host-key-file': { type: 'string' }, journal: { type: 'string' } } })
  if (values['client-key'] === undefined) throw new Error('sim-fleet needs --client-key, the public key that may log in')
  const fleet = await serveFleet({
    hosts: Number(values.hosts), seed: Number(values.seed), releases: values.releases.split(','), clientKey: values['client-key'],
    ...(values.port === undefined ? {} : { port: Number(values.port) }), ...(values['host-key-file'] === undefined ? {} : { hostKey: readFileSync(values['host-key-file'], 'utf8') }), ...(values.journal === undefined ? {} : { journal: values.journal }),
  })
  process.stdout.write(`${JSON.stringify({ port: fleet.port, hostKey: fleet.hostKey, hosts: [...fleet.gates.keys()] })}\n`)
}

if (process.argv[1] !== undefined && import.meta.url.endsWith(process.argv[1].replace(/^.*\//, '/'))) await main()
