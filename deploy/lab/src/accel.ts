// Whether KVM truly works here: a device file proves nothing, so a machine is booted with it once per boot of this one.
import { copyFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import path from 'node:path'
import type { Kernel } from './kernels.js'
import { mayUse } from './machine.js'
import type { Say } from './machine.js'
import { cacheDir } from './paths.js'
import { choosePorts, portIsFree, spread } from './ports.js'
import { FILES, MachineFailed, startMachine, stopMachine, waitUntilUp } from './qemu.js'
import type { Accel, Machine } from './qemu.js'
import { writeHostImage } from './image.js'
import { makeKey } from './keys.js'
import { run } from './run.js'

/** With working KVM a machine is up in about 2 s; a dud never is, so this is what finding that out costs once. */
const KVM_BOOT_MS = 15_000

/** The acceleration to use: `forced`, or KVM when a machine has booted with it, else emulation. */
export async function chooseAccel(forced: Accel | undefined, kernel: Kernel, shared: readonly string[], say: Say): Promise<Accel> {
  if (forced) return forced
  if (!await mayUse('/dev/kvm')) return 'tcg'
  const file = path.join(cacheDir(), 'kvm.json')
  const qemu = (await run('qemu-system-x86_64', ['--version'])).stdout.split('\n')[0] ?? ''
  const about = `${(await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()} ${qemu}`
  const known = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as { about?: string, accel?: Accel }
  if (known.about === about && known.accel) return known.accel
  say('trying KVM by booting a machine with it')
  const failure = await kvmFailure(kernel, shared)
  const accel = failure === undefined ? 'kvm' : 'tcg'
  say(failure === undefined ? 'KVM works' : `KVM does not work here (${failure.split('\n')[0]}): machines are emulated`)
  await writeFile(file, JSON.stringify({ about, accel }))
  return accel
}

/** Why a machine does not boot with KVM; undefined when it does. */
async function kvmFailure(kernel: Kernel, shared: readonly string[]): Promise<string | undefined> {
  await mkdir(cacheDir(), { recursive: true })
  const dir = await mkdtemp(path.join(cacheDir(), 'kvm-'))
  try {
    const [port] = await choosePorts([undefined], spread(dir, 1_000), portIsFree) as [number]
    const machine: Machine = { name: 'lab-kvm', uuid: randomUUID(), dir, port, memMb: 256, smp: 1, accel: 'kvm', append: [] }
    const hostKeyFile = path.join(dir, 'host_key')
    const authorizedKey = await makeKey(hostKeyFile, 'lab-kvm')
    await writeHostImage(path.join(dir, FILES.initramfs), shared, { name: 'lab-kvm', machineId: machine.uuid.replaceAll('-', ''), hostKeyFile, authorizedKey })
    await copyFile(kernel.vmlinuz, path.join(dir, FILES.kernel))
    await writeFile(path.join(dir, FILES.disk), '')
    await truncate(path.join(dir, FILES.disk), 1024 * 1024)
    const identity = await startMachine(machine)
    try {
      await waitUntilUp(machine, identity, KVM_BOOT_MS)
      return undefined
    } finally {
      await stopMachine(identity, machine.uuid)
    }
  } catch (error) {
    if (error instanceof MachineFailed) return error.why === 'late' ? `it was not up in ${KVM_BOOT_MS / 1000} s` : error.messages.trim() || error.message
    return (error as Error).message
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
