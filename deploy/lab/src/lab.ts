// A lab: some virtual machines with real kernels in a folder of their own. Any number of labs run side by side.
import { randomUUID } from 'node:crypto'
import { chmod, copyFile, mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { chooseAccel } from './accel.js'
import { ensureImage, writeHostImage } from './image.js'
import { DEFAULT_KERNELS, ensureKernel } from './kernels.js'
import type { Kernel, KernelKey } from './kernels.js'
import { makeKey } from './keys.js'
import { withLock } from './lock.js'
import { ensureMachine } from './machine.js'
import type { Say } from './machine.js'
import { buildModules } from './modules.js'
import type { BuiltModules } from './modules.js'
import { defaultLabDir } from './paths.js'
import { choosePorts, portIsFree, spread } from './ports.js'
import { FILES, machineRuns, startMachine, stopMachine, waitUntilUp } from './qemu.js'
import type { Accel, Machine } from './qemu.js'
import { eachAtMost, must } from './run.js'
import { publicHost, readState, writeState } from './state.js'
import type { HostRecord, LabHost } from './state.js'
import { writeKnownHosts } from './ssh.js'
import { ensureUserland } from './userland.js'

export interface LabOptions {
  /** How many virtual machines. */
  readonly hosts?: number
  /** Their kernels, dealt round: host 1 the first, host 2 the second, and so on. */
  readonly kernels?: readonly KernelKey[]
  /** Words added to the kernels' command line, e.g. `module.sig_enforce=1` or `lockdown=integrity`. */
  readonly append?: readonly string[]
  /** Memory of each, MiB. */
  readonly memMb?: number
  /** Processors of each. */
  readonly smp?: number
  /** The lab's folder; labs in different folders do not touch each other. */
  readonly dir?: string
  /** Forces KVM or emulation; otherwise KVM is used where a machine has booted with it. */
  readonly accel?: Accel
  /** Told what happens, line by line. */
  readonly say?: Say
}

export interface Lab { readonly dir: string, readonly accel: Accel, readonly hosts: readonly LabHost[] }

const HOSTS_DEFAULT = 4
/** 32 machines of 256 MiB are 10 GB and, idle, a fifth of a core; more would want a bigger machine than labs are for. */
export const HOSTS_MAX = 32
/** 128 MiB boots 6.1 and 96 panics; livepatches were tried at 192 and up, 7.2 at 256. */
const MEM_DEFAULT_MB = 256
/** A disk for /var/lib: a gate's state and a few staged modules are some MB. */
const DISK_BYTES = 64 * 1024 * 1024
/** One boots in 5-10 s alone under emulation; twice as many as cores at once, on a machine that does other things too. */
const UP_MS = 180_000
/** Another `up` in the same folder may be fetching kernels for the first time. */
const LAB_LOCK_MS = 20 * 60_000
const startAtOnce = (): number => Math.max(2, os.availableParallelism() * 2)

interface Wanted { readonly name: string, readonly kernel: Kernel, readonly shared: readonly string[], readonly append: readonly string[], readonly memMb: number, readonly smp: number, readonly accel: Accel }

/**
 * Boots a lab, or the hosts of it that are off, and returns once each answers ssh. Hosts that are up already stay as
 * they are; asking for them with other kernels or words is an error. Keys, names, disks and ports outlive a power-off.
 */
export async function labUp(options: LabOptions = {}): Promise<Lab> {
  const say = options.say ?? (() => undefined)
  const dir = path.resolve(options.dir ?? defaultLabDir())
  const count = options.hosts ?? HOSTS_DEFAULT
  if (!Number.isInteger(count) || count < 1 || count > HOSTS_MAX) throw new Error(`A lab has 1 to ${HOSTS_MAX} hosts, not ${count}.`)
  const keys = (options.kernels ?? DEFAULT_KERNELS).slice(0, count)
  for (const word of options.append ?? []) if (!/^[\x21-\x7e]+$/.test(word)) throw new Error(`Not a word for a kernel's command line: ${JSON.stringify(word)}`)
  await ensureMachine(say)
  const prepared = await prepareKernels(keys, say)
  const first = prepared.get(keys[0] as KernelKey) as Prepared
  const accel = await chooseAccel(options.accel, first.kernel, first.shared, say)
  const wanted = Array.from({ length: count }, (_, index): Wanted => {
    const { kernel, shared } = prepared.get(keys[index % keys.length] as KernelKey) as Prepared
    return { name: `lab-${index + 1}`, kernel, shared, append: options.append ?? [], memMb: options.memMb ?? MEM_DEFAULT_MB, smp: options.smp ?? 1, accel }
  })
  return withLock(path.join(dir, 'lock'), LAB_LOCK_MS, () => bootAll(dir, wanted, accel, say))
}

interface Prepared { readonly kernel: Kernel, readonly built: BuiltModules, readonly shared: readonly string[] }

/** Fetches and builds what the kernels need and the cache lacks; each kernel's work runs beside the others'. */
export async function prepareKernels(keys: readonly KernelKey[], say: Say, refresh = false): Promise<ReadonlyMap<KernelKey, Prepared>> {
  const userland = ensureUserland(say, refresh)
  // Awaited with the kernels, so that neither's failure goes unheard.
  const kernels = Promise.all([...new Set(keys)].map(async (key) => {
    const kernel = await ensureKernel(key, say, refresh)
    return { kernel, built: await buildModules(kernel, say) }
  }))
  const [programs, ready] = await Promise.all([userland, kernels])
  const prepared = new Map<KernelKey, Prepared>()
  for (const { kernel, built } of ready) prepared.set(kernel.key, { kernel, built, shared: await ensureImage(programs, kernel, built) })
  return prepared
}

async function bootAll(dir: string, wanted: readonly Wanted[], accel: Accel, say: Say): Promise<Lab> {
  const state = await readState(dir)
  const known = new Map(state.hosts.map((host) => [host.name, host]))
  const toStart: Wanted[] = []
  for (const want of wanted) {
    const host = known.get(want.name)
    if (!host || !await machineRuns(host.process, host.uuid)) toStart.push(want)
    else if (host.kernelKey !== want.kernel.key || host.append.join(' ') !== want.append.join(' ')) {
      throw new Error(`${host.name} is up with kernel ${host.kernelKey}${host.append.map((word) => ` ${word}`).join('')}; take the lab down first.`)
    }
  }
  const privateKeyPath = path.join(dir, 'id')
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const authorizedKey = await makeKey(privateKeyPath, 'uptide-lab')
  const ports = await choosePorts(toStart.map((want) => known.get(want.name)?.port), spread(dir, 1_000) * 7, portIsFree)
  // One writer at a time, each with what is known then.
  let writing = Promise.resolve()
  const save = (host: HostRecord): Promise<void> => {
    known.set(host.name, host)
    writing = writing.then(() => writeState(dir, { format: 1, hosts: [...known.values()] }))
    return writing
  }
  const started: HostRecord[] = []
  try {
    await eachAtMost(startAtOnce(), toStart, async (want, index) => {
      const made = await makeHost(dir, want, known.get(want.name), ports[index] as number, privateKeyPath, authorizedKey)
      const host: HostRecord = { ...made, process: await startMachine(machineOf(made)) }
      started.push(host)
      await save(host)
      const began = Date.now()
      const ready = await waitUntilUp(machineOf(host), host.process as string, UP_MS)
      await save({ ...host, kernelRelease: ready.release })
      say(`${host.name} is up: ${ready.release}, port ${host.port}, ${((Date.now() - began) / 1000).toFixed(1)} s`)
    })
  } catch (error) {
    for (const host of started) await stopMachine(host.process, host.uuid)
    await writing.catch(() => undefined)
    throw error
  }
  await writing
  const running = await Promise.all([...known.values()].map(async (host) => await machineRuns(host.process, host.uuid) ? [host] : []))
  const up = running.flat().sort((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }))
  return { dir, accel, hosts: up.map(publicHost) }
}

/** Makes a host's folder: its key and identity once, its disk once, kernel and initramfs anew. */
async function makeHost(dir: string, want: Wanted, before: HostRecord | undefined, port: number, privateKeyPath: string, authorizedKey: string): Promise<HostRecord> {
  const folder = path.join(dir, 'hosts', want.name)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const hostKeyFile = path.join(folder, 'host_key')
  const uuid = before?.uuid ?? randomUUID()
  const host: HostRecord = {
    name: want.name, kernelKey: want.kernel.key, kernelRelease: want.kernel.release, address: '127.0.0.1', port, user: 'root', privateKeyPath,
    hostKey: await makeKey(hostKeyFile, want.name), consoleLog: path.join(folder, FILES.console), labDir: dir,
    uuid, machineId: before?.machineId ?? randomUUID().replaceAll('-', ''), memMb: want.memMb, smp: want.smp, accel: want.accel, append: want.append,
  }
  await copyFile(want.kernel.vmlinuz, path.join(folder, FILES.kernel))
  await chmod(path.join(folder, FILES.kernel), 0o600)
  await writeHostImage(path.join(folder, FILES.initramfs), want.shared, { name: host.name, machineId: host.machineId, hostKeyFile, authorizedKey })
  await rm(host.consoleLog, { force: true })
  await makeDisk(path.join(folder, FILES.disk))
  await writeKnownHosts(host)
  return host
}

/** An empty file system, with only the features that the oldest kernel here knows. */
async function makeDisk(file: string): Promise<void> {
  if (existsSync(file)) return
  const half = `${file}.new`
  await writeFile(half, '', { mode: 0o600 })
  await truncate(half, DISK_BYTES)
  await must('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', 'none,has_journal,extent,filetype,sparse_super,dir_index', '-E', 'root_owner=0:0', '-m', '0', half], { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
  await copyFile(half, file)
  await rm(half)
}

const machineOf = (host: HostRecord): Machine => ({
  name: host.name, uuid: host.uuid, dir: path.dirname(host.consoleLog), port: host.port, memMb: host.memMb, smp: host.smp, accel: host.accel, append: host.append,
})

export interface DownOptions {
  readonly dir?: string
  /** Also forgets the hosts: their keys, disks and names. Their folder is removed. */
  readonly wipe?: boolean
}

/** Powers off the lab's machines, and nothing else. Returns the names of those that were running. */
export async function labDown(options: DownOptions = {}): Promise<string[]> {
  const dir = path.resolve(options.dir ?? defaultLabDir())
  if (!existsSync(dir)) return []
  const stopped = await withLock(path.join(dir, 'lock'), LAB_LOCK_MS, async () => {
    const state = await readState(dir)
    const running = await Promise.all(state.hosts.map(async (host) => await stopMachine(host.process, host.uuid) ? [host.name] : []))
    await writeState(dir, { format: 1, hosts: state.hosts.map((host): HostRecord => ({ ...host, process: undefined })) })
    if (options.wipe) for (const name of ['lab.json', 'hosts', 'id', 'id.pub']) await rm(path.join(dir, name), { recursive: true, force: true })
    return running.flat()
  })
  return stopped
}

export interface HostStatus { readonly host: LabHost, readonly running: boolean }

/** The lab's hosts and whether each one's machine runs now. */
export async function labStatus(dir: string = defaultLabDir()): Promise<HostStatus[]> {
  const state = await readState(path.resolve(dir))
  return Promise.all(state.hosts.map(async (host) => ({ host: publicHost(host), running: await machineRuns(host.process, host.uuid) })))
}

/**
 * Cuts a host's power and turns it on again: same kernel, keys, port and disk, another boot id. Works whatever state
 * the guest is in. Returns once it answers ssh. (A guest's own `reboot` works too and needs nothing from here.)
 */
export async function labReboot(host: Pick<LabHost, 'labDir' | 'name'>): Promise<{ readonly bootId: string }> {
  return withLock(path.join(host.labDir, 'lock'), LAB_LOCK_MS, async () => {
    const state = await readState(host.labDir)
    const record = state.hosts.find((each) => each.name === host.name)
    if (!record) throw new Error(`There is no host ${host.name} in the lab ${host.labDir}.`)
    await stopMachine(record.process, record.uuid)
    await rm(record.consoleLog, { force: true })
    const process = await startMachine(machineOf(record))
    await writeState(host.labDir, { format: 1, hosts: state.hosts.map((each) => each.name === host.name ? { ...record, process } : each) })
    return { bootId: (await waitUntilUp(machineOf(record), process, UP_MS)).bootId }
  })
}

/** Cuts a host's power and leaves it off, for tests of hosts that are lost. labReboot turns it on again. */
export async function labPowerOff(host: Pick<LabHost, 'labDir' | 'name'>): Promise<void> {
  await withLock(path.join(host.labDir, 'lock'), LAB_LOCK_MS, async () => {
    const state = await readState(host.labDir)
    const record = state.hosts.find((each) => each.name === host.name)
    if (!record) throw new Error(`There is no host ${host.name} in the lab ${host.labDir}.`)
    await stopMachine(record.process, record.uuid)
    await writeState(host.labDir, { format: 1, hosts: state.hosts.map((each) => each.name === host.name ? { ...record, process: undefined } : each) })
  })
}
