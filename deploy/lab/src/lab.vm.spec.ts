// The lab itself, on real kernels: 6.1 and 6.12, or those that UPTIDE_KERNELS names.
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEFAULT_KERNELS, KERNEL_KEYS, labDown, labModules, labReboot, labSsh, labStatus, labUp } from './index.js'
import type { KernelKey, Lab, LabHost } from './index.js'

const named = process.env.UPTIDE_KERNELS?.split(',') ?? DEFAULT_KERNELS
const kernels = named.filter((key): key is KernelKey => (KERNEL_KEYS as readonly string[]).includes(key))
const folder = mkdtempSync(path.join(os.tmpdir(), 'lab-vm-'))
const dir = path.join(folder, 'one')
let lab: Lab

/** Runs a shell text on a host; it must succeed. */
async function sh(host: LabHost, text: string): Promise<string> {
  const done = await labSsh(host, ['sh', '-c', text])
  expect(done.status, `${text}\n${done.stderr}`).toBe(0)
  return done.stdout.trim()
}

/** Reads the transition until it says so; the last reading is returned in any case. */
async function transitionBecomes(host: LabHost, name: string, wanted: string, withinMs: number): Promise<string> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const reading = await sh(host, `cat /sys/kernel/livepatch/${name}/transition`)
    if (reading === wanted || Date.now() > deadline) return reading
    await sleep(300)
  }
}

const base64 = async (file: string): Promise<string> => (await readFile(file)).toString('base64')
const hostOf = (key: KernelKey): LabHost => lab.hosts.find((host) => host.kernelKey === key) as LabHost

beforeAll(async () => {
  lab = await labUp({ hosts: kernels.length, kernels, dir })
})
afterAll(async () => {
  await labDown({ dir, wipe: true })
  await labDown({ dir: path.join(folder, 'two'), wipe: true })
  rmSync(folder, { recursive: true, force: true })
})

test('Every host has a key, a name and an identity of its own, and runs the kernel it was asked for', async () => {
  expect(lab.hosts.map((host) => host.kernelKey)).toEqual(kernels)
  expect(new Set(lab.hosts.map((host) => host.hostKey)).size).toBe(kernels.length)
  const identities = await Promise.all(lab.hosts.map((host) => sh(host, 'hostname; cat /etc/machine-id; uname -r; cat /etc/ssh/ssh_host_ed25519_key.pub')))
  for (const [index, host] of lab.hosts.entries()) {
    const [name, machineId, release, key] = (identities[index] as string).split('\n') as [string, string, string, string]
    expect({ name, release }).toEqual({ name: host.name, release: host.kernelRelease })
    expect(machineId).toMatch(/^[0-9a-f]{32}$/)
    expect(key.startsWith(host.hostKey)).toBe(true)
  }
  expect(new Set(identities.map((text) => text.split('\n')[1])).size).toBe(kernels.length)
})

test('A host offers what the gate needs: a POSIX shell, bash, busybox, locks, hashes, a kernel log, places to write', async () => {
  const needed = ['bash', 'busybox', 'flock', 'sha256sum', 'awk', 'dd', 'head', 'od', 'timeout', 'dmesg', 'mktemp', 'insmod', 'rmmod', 'ssh-keygen']
  const [host] = lab.hosts as [LabHost]
  expect(await sh(host, `for name in ${needed.join(' ')}; do command -v "$name" >/dev/null || echo "$name"; done`)).toBe('')
  expect(await sh(host, 'readlink -f "$(command -v insmod)"')).toBe('/usr/bin/kmod')
  expect(await sh(host, 'dmesg | head -1; for place in /var/lib /tmp /run; do touch "$place/x" && rm "$place/x"; done')).toContain('Linux version')
})

describe.each(kernels)('On kernel %s', (key) => {
  test('v1 is loaded, its transition ends and the kernel says what it was patched to say; v2 replaces it', async () => {
    const host = hostOf(key)
    expect(await sh(host, 'cat /proc/version')).not.toContain('uptide')
    await sh(host, 'insmod /lab/uptide_v1.ko')
    expect(await transitionBecomes(host, 'uptide_v1', '0', 15_000)).toBe('0')
    expect(await sh(host, 'cat /proc/version /proc/execdomains /proc/lab_target')).toMatch(/\(uptide v1\)[^]*kernel, uptide v1[^]*lab_target uptide v1/)
    await sh(host, 'insmod /lab/uptide_v2.ko')
    expect(await transitionBecomes(host, 'uptide_v2', '0', 15_000)).toBe('0')
    expect(await sh(host, 'cat /proc/version; ls /sys/kernel/livepatch')).toMatch(/\(uptide v2\)[^]*\nuptide_v2$/)
  })

  test('a reboot changes the boot id, forgets the livepatches, and keeps key, port and /var/lib', async () => {
    const host = hostOf(key)
    const before = await sh(host, 'echo kept > /var/lib/kept; sync; cat /proc/sys/kernel/random/boot_id')
    const { bootId } = await labReboot(host)
    expect(bootId).not.toBe(before)
    expect(await sh(host, 'cat /proc/sys/kernel/random/boot_id /var/lib/kept; ls /sys/kernel/livepatch')).toBe(`${bootId}\nkept`)
    const own = labSsh(host, ['reboot'])
    let again = bootId
    for (const deadline = Date.now() + 90_000; again === bootId && Date.now() < deadline; await sleep(500)) {
      const done = await labSsh(host, ['cat', '/proc/sys/kernel/random/boot_id'], { timeoutMs: 10_000 })
      if (done.status === 0) again = done.stdout.trim()
    }
    await own
    expect(again).not.toBe(bootId)
  })

  test('a waiting reader makes v1 stall until it is released', async () => {
    const host = hostOf(key)
    const reader = /^waiting (\d+)$/.exec(await sh(host, '/lab/reader start'))?.[1] as string
    await sh(host, 'insmod /lab/uptide_v1.ko')
    await sleep(4_000)
    expect(await sh(host, 'cat /sys/kernel/livepatch/uptide_v1/transition')).toBe('1')
    expect(await sh(host, `cat /proc/${reader}/patch_state; grep -c lab_wait /proc/${reader}/stack`)).toBe('0\n1')
    await sh(host, '/lab/reader stop')
    expect(await transitionBecomes(host, 'uptide_v1', '0', 15_000)).toBe('0')
    expect(await sh(host, '/lab/reader status; cat /run/lab-reader.out /proc/lab_target')).toBe('none\nlab_target original\nlab_target uptide v1')
  })

  test('the broken modules and another kernel\'s are refused', async () => {
    const host = hostOf(key)
    for (const name of ['bad_symbol', 'bad_notag', 'bad_callback']) {
      const done = await labSsh(host, ['insmod', `/lab/${name}.ko`])
      expect({ name, status: done.status, error: done.stderr.trim() }).toEqual({
        name, status: 1, error: `insmod: ERROR: could not insert module /lab/${name}.ko: ${name === 'bad_callback' ? 'No such device' : 'Invalid parameters'}`,
      })
    }
    const other = await labModules(key === '6.1' ? '6.12' : '6.1')
    const done = await labSsh(host, ['sh', '-c', 'base64 -d > /tmp/other.ko && insmod /tmp/other.ko'], { input: await base64(other.modules.uptide_v1 as string) })
    expect(done.stderr.trim()).toBe('insmod: ERROR: could not insert module /tmp/other.ko: Invalid module format')
  })
})

test('A second lab beside the first enforces module signatures, and going down takes only its own hosts', async () => {
  const second = await labUp({ hosts: 1, kernels: [kernels[0] as KernelKey], dir: path.join(folder, 'two'), append: ['module.sig_enforce=1'] })
  const [host] = second.hosts as [LabHost]
  const done = await labSsh(host, ['insmod', '/lab/uptide_v1.ko'])
  expect(done.stderr.trim()).toBe('insmod: ERROR: could not insert module /lab/uptide_v1.ko: Key was rejected by service')
  await expect(labUp({ hosts: 1, kernels: [kernels[0] as KernelKey], dir: second.dir })).rejects.toThrow('take the lab down first')
  expect(await labDown({ dir: second.dir })).toEqual([host.name])
  expect((await labStatus(dir)).map((each) => each.running)).toEqual(kernels.map(() => true))
})
