// What a complete, recorded, fenced attempt over SSH costs, beside plain `ssh` doing the same bare job.
//
// One real OpenSSH server inside a network namespace of its own (only `lo`): every 127.x.y.z is a host, told apart by
// the server's address in SSH_CONNECTION. Behind each stands the real gate on a fixture root with a fake insmod.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readModuleFile } from '@uptide/livepatch'
import { makeWaves, defaultStrategy } from '@uptide/rollout'
import { openStore, startEmbedded } from '@uptide/store'
import { root, startPlane } from '../plane.js'
import { layFixture, release } from './fixture.js'
import { cpuMsOf, peakRssMbOf } from './proc.js'

export interface SshFigures {
  readonly hosts: number
  readonly hostsPerSecond: number
  /** All of the control plane's Node processes together. */
  readonly cpuMsPerHost: number
  /** Its PostgreSQL, apart. */
  readonly databaseCpuMsPerHost: number
  readonly peakRssMb: number
  readonly succeeded: number
  readonly plainSshHostsPerSecond: number
  readonly plainSshCpuMsPerHost: number
  /** Ours by plain ssh's. */
  readonly cpuRatio: number
  readonly throughputRatio: number
}

const sshPort = 2222
const address = (index: number): string => `127.1.${Math.floor(index / 250)}.${(index % 250) + 1}`

export async function sshBench({ hosts, inside, json }: { hosts: number; inside: boolean; json: boolean }): Promise<SshFigures | null> {
  // A wrong address cannot leave the machine: everything happens where there is only loopback.
  if (!inside) {
    const args = ['-n', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"', process.execPath, path.join(root, 'tools/dist/bench/main.js'), 'ssh', '--inside', '--hosts', String(hosts), ...(json ? ['--json'] : [])]
    const asRoot = process.getuid?.() === 0
    const done = spawnSync(asRoot ? 'unshare' : 'sudo', asRoot ? args : ['-n', '-E', 'unshare', ...args], { stdio: 'inherit', env: process.env })
    process.exit(done.status ?? 1)
  }
  const dir = mkdtempSync(path.join(tmpdir(), 'uptide-bench-'))
  const fixture = layFixture(dir, hosts, address)
  // Debian's sshd wants its privilege separation folder, which its service would make.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const server = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', fixture.sshdConfig], { stdio: 'ignore' })
  try {
    await sleep(500)
    const plain = await plainSsh(dir, fixture, hosts)
    const ours = await throughUptide(dir, fixture, hosts)
    return {
      ...ours, plainSshHostsPerSecond: plain.hostsPerSecond, plainSshCpuMsPerHost: plain.cpuMsPerHost,
      cpuRatio: ours.cpuMsPerHost / plain.cpuMsPerHost, throughputRatio: ours.hostsPerSecond / plain.hostsPerSecond,
    }
  } finally {
    server.kill('SIGTERM')
    rmSync(dir, { recursive: true, force: true })
  }
}

type Fixture = ReturnType<typeof layFixture>

/** What the first hosts that went bad say, so that a held benchmark explains itself. */
async function wentBad(store: Awaited<ReturnType<typeof openStore>>, rolloutId: string): Promise<unknown[]> {
  const pages = await Promise.all((['lost', 'failed'] as const).map((state) => store.listTargets(rolloutId, { state }, { limit: 3 })))
  return pages.flatMap((page) => page.items.map((one) => ({ host: one.hostName, state: one.state, reason: one.reason })))
}

/** The bare job: log in, read, send the module, check its hash, "load", look. curve25519, the fair comparison (ssh2 has no post-quantum exchange). */
async function plainSsh(dir: string, fixture: Fixture, hosts: number): Promise<{ hostsPerSecond: number; cpuMsPerHost: number }> {
  const list = path.join(dir, 'addresses')
  writeFileSync(list, Array.from({ length: hosts }, (_, index) => address(index)).join('\n'))
  const job = `uname -r; cat $R/sys/kernel/livepatch/*/enabled 2>/dev/null; cat > $R/plain.ko && sha256sum < $R/plain.ko; echo loaded; cat $R/proc/uptime`
  const script = path.join(dir, 'plain.sh')
  writeFileSync(script, `exec ssh -F /dev/null -p ${sshPort} -i ${fixture.clientKey} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o KexAlgorithms=curve25519-sha256 root@"$1" 'R=$HOSTROOT; ${job}' < ${fixture.module} > /dev/null\n`)
  const began = Date.now()
  const timed = spawn('sh', ['-c', `xargs -P32 -n1 sh ${script} < ${list}; echo "$?" ; cat /proc/$$/stat`], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  timed.stdout.on('data', (chunk: Buffer) => { text += chunk.toString('utf8') })
  await new Promise((done) => { timed.on('close', done) })
  const seconds = (Date.now() - began) / 1000
  const [status = '1', stat = ''] = text.trim().split('\n')
  if (status !== '0') throw new Error(`plain ssh failed (${status})`)
  // cutime and cstime: all children that were waited for, in clock ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { hostsPerSecond: hosts / seconds, cpuMsPerHost: ((Number(fields[13]) + Number(fields[14])) * 10) / hosts }
}

async function throughUptide(dir: string, fixture: Fixture, hosts: number): Promise<Pick<SshFigures, 'hosts' | 'hostsPerSecond' | 'cpuMsPerHost' | 'databaseCpuMsPerHost' | 'peakRssMb' | 'succeeded'>> {
  const data = path.join(dir, 'data')
  mkdirSync(data)
  const postgres = await startEmbedded({ dir: path.join(dir, 'postgres') })
  const plane = await startPlane({ data, port: 4299, env: { DATABASE_URL: postgres.url, LOG_LEVEL: 'warn' } })
  try {
    const api = async <T>(route: string, body: unknown, bytes = false): Promise<T> => {
      const reply = await fetch(`${plane.url}/api/v1${route}`, { method: 'POST', headers: { authorization: `Bearer ${plane.token}`, 'content-type': bytes ? 'application/octet-stream' : 'application/json' }, body: bytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) })
      if (!reply.ok) throw new Error(`${route}: ${await reply.text()}`)
      return (await reply.json()) as T
    }
    await api('/credentials', { name: 'default', privateKey: readFileSync(fixture.clientKey, 'utf8') })
    const store = await openStore({ url: postgres.url })
    const bytes = readFileSync(fixture.module)
    const read = readModuleFile(bytes)
    if (!read.ok) throw new Error(read.says)
    const patch = await store.addPatch({ name: 'bench', title: 'bench', description: '', cves: [], severity: 'low' }, 'bench')
    if (!patch.ok) throw new Error('the patch was not made')
    const { facts } = read
    const build = await store.addBuild({ patchId: patch.id, patchName: 'bench', sha256: createHash('sha256').update(bytes).digest('hex'), bytes, kernelRelease: release, kernelBuildId: null, arch: facts.arch, moduleName: facts.name, srcversion: facts.srcversion, moduleBuildId: facts.moduleBuildId, vermagic: facts.vermagic, objects: facts.objects, objectsSource: facts.objectsSource, replace: 'no', replaceSource: 'file', rollbackRisk: facts.rollbackRisk, signature: { present: false, says: 'unsigned' } }, 'bench')
    if (!build.ok) throw new Error('the build was not made')
    const credential = await store.findCredential('default')
    const planned = []
    for (let index = 0; index < hosts; index++) {
      const name = `bench-${index}`
      const host = await store.addHost({ name, address: address(index), port: sshPort, user: 'root', gateMode: 'installed', hostKey: fixture.hostKey, hostKeySha256: '', credentialId: credential?.id ?? '', labels: {} }, 'bench')
      if (!host.ok) throw new Error(`host ${name} was not made`)
      planned.push({ hostId: host.id, name, kernel: release, buildId: build.id, arch: 'x86_64', mechanism: null, state: 'reachable', labels: {} })
    }
    // Enough in flight to fill the machine; the bake look is part of a complete attempt.
    const strategy = { ...defaultStrategy, waves: [], inFlightMax: 64, bakeMs: 0 }
    const waves = makeWaves(planned, strategy)
    const cpuBefore = cpuMsOf(plane.pid); const databaseBefore = cpuMsOf(postgres.pid, true)
    const began = Date.now()
    const rollout = await store.createRollout({ name: 'bench', patchId: patch.id, strategy, plan: {}, start: true, skipped: [], waves: waves.map((wave) => ({ canary: wave.canary, targets: wave.hosts.map((host) => ({ hostId: host.hostId, hostName: host.name, buildId: host.buildId })) })) }, 'bench')
    if (!rollout.ok) throw new Error('the rollout was not made')
    let state = ''
    let counts: Record<string, number> = {}
    let peak = 0
    for (const until = Date.now() + 600_000; Date.now() < until;) {
      const row = await store.findRollout(rollout.id)
      state = row?.state ?? ''
      peak = Math.max(peak, peakRssMbOf(plane.pid))
      if (['succeeded', 'failed', 'held'].includes(state)) { counts = (row?.waves ?? []).reduce<Record<string, number>>((sum, wave) => { for (const [key, n] of Object.entries(wave.counts)) sum[key] = (sum[key] ?? 0) + n; return sum }, {}); break }
      await sleep(250)
    }
    const seconds = (Date.now() - began) / 1000
    if (state !== 'succeeded') throw new Error(`the rollout ended ${state}: ${JSON.stringify(counts)}; ${JSON.stringify(await wentBad(store, rollout.id))}`)
    const figures = { hosts, hostsPerSecond: hosts / seconds, cpuMsPerHost: (cpuMsOf(plane.pid) - cpuBefore) / hosts, databaseCpuMsPerHost: (cpuMsOf(postgres.pid, true) - databaseBefore) / hosts, peakRssMb: peak, succeeded: counts['succeeded'] ?? 0 }
    await store.close()
    return figures
  } finally {
    await plane.stop()
    await postgres.stop()
  }
}

