// One virtual machine: QEMU's command line, its start and its end.
import { spawn } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processIdentity } from './lock.js'

export type Accel = 'kvm' | 'tcg'
const QEMU = 'qemu-system-x86_64'

export interface Machine {
  readonly name: string
  readonly uuid: string
  /** Its folder: kernel, initramfs, disk, console log and QEMU's own messages lie in it under fixed names. */
  readonly dir: string
  readonly port: number
  readonly memMb: number
  readonly smp: number
  readonly accel: Accel
  /** Words added to the kernel's command line. */
  readonly append: readonly string[]
}

export const FILES = { kernel: 'vmlinuz', initramfs: 'initramfs', disk: 'disk.img', console: 'console.log', messages: 'qemu.log' }

/** Translated code kept per machine under emulation, MiB: 32 is enough for sshd and a shell to run warm. */
const TCG_CACHE_MB = 32
/** What every kernel is started with. No mitigations and a trusted clock: they cost seconds under emulation. */
const KERNEL_WORDS = ['console=ttyS0', 'quiet', 'panic=-1', 'tsc=reliable', 'no_timer_check', 'mitigations=off', 'random.trust_cpu=on', 'net.ifnames=0']

/**
 * The emulated processor. Without cmpxchg16b: QEMU before 8.1 computes its flags from stale state (the helper runs
 * before the translator stored which operation set them), and an interrupt right behind one in the kernel's slab
 * allocator saved garbage flags: a third of 6.12's boots ended in a double fault (24 of 75; without it 0 of 90).
 */
const TCG_CPU = 'qemu64,+rdrand,-cx16'

/** QEMU's arguments. Files are named relative to the machine's folder, where it is started. */
export function qemuArgs(machine: Machine): string[] {
  return [
    '-name', machine.name, '-uuid', machine.uuid,
    '-machine', 'q35', '-accel', machine.accel === 'kvm' ? 'kvm' : `tcg,thread=multi,tb-size=${TCG_CACHE_MB}`,
    '-cpu', machine.accel === 'kvm' ? 'host' : TCG_CPU, '-smp', String(machine.smp), '-m', String(machine.memMb),
    '-nodefaults', '-no-user-config', '-display', 'none', '-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    '-kernel', FILES.kernel, '-initrd', FILES.initramfs, '-append', [...KERNEL_WORDS, ...machine.append].join(' '),
    // The guest reaches nothing; only 127.0.0.1 of this machine reaches its sshd.
    '-netdev', `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${machine.port}-:22`, '-device', 'virtio-net-pci,netdev=net,romfile=',
    '-drive', `file=${FILES.disk},format=raw,if=none,id=disk,cache=unsafe`, '-device', 'virtio-blk-pci,drive=disk',
    '-serial', `file:${FILES.console}`,
  ]
}

/** Starts the machine so that it outlives this process; returns the process's identity. */
export async function startMachine(machine: Machine): Promise<string> {
  const messages = await open(path.join(machine.dir, FILES.messages), 'w', 0o600)
  try {
    const child = spawn(QEMU, qemuArgs(machine), { cwd: machine.dir, detached: true, stdio: ['ignore', messages.fd, messages.fd] })
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    child.unref()
    const identity = await processIdentity(child.pid as number)
    if (!identity) throw new Error(`${machine.name}: QEMU ended at once: ${await readFile(path.join(machine.dir, FILES.messages), 'utf8').catch(() => '')}`)
    return identity
  } finally {
    await messages.close()
  }
}

/** Whether that process still is this machine: same process, and QEMU with this machine's mark on its command line. */
export async function machineRuns(identity: string | undefined, uuid: string): Promise<boolean> {
  if (!identity) return false
  const pid = Number(identity.split(' ')[0])
  if (await processIdentity(pid) !== identity) return false
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
  return path.basename(words[0] ?? '') === QEMU && words.includes(uuid)
}

/** A QEMU told to end does so at once; only a stuck one needs the second signal. */
const END_WAIT_MS = 3_000
const LOOK_MS = 50

/** Powers the machine off. Does nothing to a process that is not it. Returns whether it was running. */
export async function stopMachine(identity: string | undefined, uuid: string): Promise<boolean> {
  if (!identity || !await machineRuns(identity, uuid)) return false
  const pid = Number(identity.split(' ')[0])
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true
      throw error
    }
    for (let waited = 0; waited < END_WAIT_MS; waited += LOOK_MS) {
      await sleep(LOOK_MS)
      if (await processIdentity(pid) !== identity) return true
    }
  }
  throw new Error(`QEMU (process ${pid}) does not end.`)
}

/** The last READY line of a console log: boot id and release. A reboot of the guest appends another. */
export function readyLine(consoleText: string): { readonly bootId: string, readonly release: string } | undefined {
  const last = [...consoleText.matchAll(/^LAB-READY ([0-9a-f-]{36}) (\S+)\r?$/gm)].at(-1)
  return last ? { bootId: last[1] as string, release: last[2] as string } : undefined
}

/** Why a machine did not come up: what QEMU said, else the end of the console. */
export class MachineFailed extends Error {
  constructor(readonly machineName: string, readonly why: 'ended' | 'late', readonly messages: string, consoleText: string) {
    super(`${machineName} ${why === 'ended' ? 'ended while starting' : 'was not up in time'}: ${messages.trim() || consoleText.trim().slice(-800) || 'its console stayed empty'}`)
  }
}

/** Waits until the machine's init is through and its sshd says so on its port. Throws MachineFailed after `timeoutMs` milliseconds. */
export async function waitUntilUp(machine: Machine, identity: string, timeoutMs: number): Promise<{ readonly bootId: string, readonly release: string }> {
  const deadline = Date.now() + timeoutMs
  const read = (file: string): Promise<string> => readFile(path.join(machine.dir, file), 'latin1').catch(() => '')
  for (;;) {
    const ready = readyLine(await read(FILES.console))
    if (ready && await saysSsh(machine.port)) return ready
    const ended = !await machineRuns(identity, machine.uuid)
    if (ended || Date.now() > deadline) throw new MachineFailed(machine.name, ended ? 'ended' : 'late', await read(FILES.messages), await read(FILES.console))
    await sleep(LOOK_MS * 2)
  }
}

/** An sshd under emulation takes up to a second to print its version on a busy machine. */
const BANNER_WAIT_MS = 3_000

/** Whether something that speaks ssh answers on the port. QEMU itself accepts connections before the guest does. */
function saysSsh(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(BANNER_WAIT_MS, () => end(false))
    socket.once('error', () => end(false)).once('close', () => end(false)).once('data', (bytes: Buffer) => end(bytes.toString('latin1').startsWith('SSH-')))
  })
}
