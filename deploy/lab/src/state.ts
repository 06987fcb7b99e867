// What a lab remembers in its folder: lab.json, written whole or not at all.
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Accel } from './qemu.js'
import { KERNEL_KEYS } from './kernels.js'
import type { KernelKey } from './kernels.js'

/** One host of a lab: how to reach it, and what to boot it with. */
export interface LabHost {
  readonly name: string
  readonly kernelKey: KernelKey
  /** What uname -r says on it. */
  readonly kernelRelease: string
  readonly address: '127.0.0.1'
  readonly port: number
  readonly user: 'root'
  readonly privateKeyPath: string
  /** `ssh-ed25519 AAAA…`: to pin. */
  readonly hostKey: string
  /** What its kernel and init print; begins anew at each power-on. */
  readonly consoleLog: string
  readonly labDir: string
}

export interface HostRecord extends LabHost {
  /** QEMU's process and when it started, as processIdentity tells; absent while off. */
  readonly process?: string
  /** Marks the process's command line as this host's. */
  readonly uuid: string
  readonly machineId: string
  readonly memMb: number
  readonly smp: number
  readonly accel: Accel
  readonly append: readonly string[]
}

export interface LabState { readonly format: 1, readonly hosts: readonly HostRecord[] }

const EMPTY: LabState = { format: 1, hosts: [] }

export async function readState(dir: string): Promise<LabState> {
  const text = await readFile(path.join(dir, 'lab.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return EMPTY
  const state = JSON.parse(text) as LabState
  if (state.format !== 1 || !Array.isArray(state.hosts) || state.hosts.some((host) => !KERNEL_KEYS.includes(host.kernelKey))) {
    throw new Error(`${path.join(dir, 'lab.json')} is not a lab of this version; stop its virtual machines and remove it.`)
  }
  return state
}

export async function writeState(dir: string, state: LabState): Promise<void> {
  await mkdir(dir, { recursive: true })
  const half = path.join(dir, `lab.json.${randomBytes(4).toString('hex')}`)
  await writeFile(half, `${JSON.stringify(state, null, 2)}\n`)
  await rename(half, path.join(dir, 'lab.json'))
}

/** The host without what only the lab itself needs. */
export function publicHost(record: HostRecord): LabHost {
  const { name, kernelKey, kernelRelease, address, port, user, privateKeyPath, hostKey, consoleLog, labDir } = record
  return { name, kernelKey, kernelRelease, address, port, user, privateKeyPath, hostKey, consoleLog, labDir }
}
