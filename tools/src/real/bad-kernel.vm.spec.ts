// A release that is bad on one kernel: its canary's check fails, that build stops and is taken back, and the other kernel goes on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Lab, labDown, type LabHost, labModules, labSsh, labUp } from '@uptide/lab'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Api, untilState } from '../crash/bench.js'
import { type Plane, startPlane } from '../plane.js'

const folder = mkdtempSync(path.join(tmpdir(), 'uptide-bad-'))
const strategy = { bakeMs: 12_000, checkAtMs: [3_000], canaryPerBuild: 1, waves: [], errorsMax: 0, onFailure: 'revert-wave', retry: { attemptsMax: 6, firstMs: 500, maxMs: 4000 } }
let lab: Lab
let plane: Plane
let api: Api

interface Shown { readonly state: string; readonly builds: readonly { readonly kernelRelease: string; readonly counts: Record<string, number>; readonly stopped: { readonly code: string; readonly says: string } | null }[] }

beforeAll(async () => {
  lab = await labUp({ hosts: 4, kernels: ['6.1', '6.12'], dir: path.join(folder, 'lab') })
  plane = await startPlane({ data: path.join(folder, 'plane'), port: 4392, env: { SWEEP_MS: '1000' } })
  api = new Api(plane.url, plane.token ?? '')
  const [first] = lab.hosts
  await api.call('POST', '/credentials', { name: 'default', privateKey: readFileSync(first?.privateKeyPath ?? '', 'utf8') })
  for (const host of lab.hosts) await api.call('POST', '/hosts', { name: host.name, address: host.address, port: host.port, hostKey: host.hostKey, gateMode: 'zero-install' })
  await api.call('POST', '/patches', { name: 'v2', title: 'second release' })
  for (const key of ['6.1', '6.12'] as const) await api.call('POST', '/patches/v2/builds', new Uint8Array(readFileSync((await labModules(key)).modules[key === '6.12' ? 'uptide_warns' : 'uptide_v2'] ?? '')))
})

afterAll(async () => {
  await plane?.stop()
  await labDown({ dir: path.join(folder, 'lab'), wipe: true })
  rmSync(folder, { recursive: true, force: true })
})

/** What runs on the host reads it now and then; with the bad release the kernel warns. */
const versionOf = async (host: LabHost): Promise<string> => (await labSsh(host, ['cat', '/proc/version'])).stdout
const sleep = (ms: number): Promise<void> => new Promise((done) => { setTimeout(done, ms) })

it('stops after its canary and takes it back, while the hosts of the other kernel are patched', { timeout: 240_000 }, async () => {
  const bad = lab.hosts.filter((host) => host.kernelKey === '6.12')
  const good = lab.hosts.filter((host) => host.kernelKey === '6.1')
  expect([bad.length, good.length]).toEqual([2, 2])
  const { id } = await api.call<{ id: string }>('POST', '/rollouts', { patch: 'v2', selection: { all: true }, strategy })
  // Somebody reads the file as soon as a canary is patched.
  const reading = { on: true }
  const reader = (async () => { while (reading.on) { for (const host of lab.hosts) await versionOf(host); await sleep(500) } })()
  try { expect((await untilState(api, id, ['held', 'succeeded', 'failed'], 200_000)).state).toBe('held') } finally { reading.on = false; await reader }

  const { builds } = await api.call<Shown>('GET', `/rollouts/${id}`)
  const of = (key: string) => builds.find((build) => build.kernelRelease.startsWith(`${key}.`))
  expect(of('6.12')).toMatchObject({ stopped: { code: 'ERRORS' }, counts: { reverted: 1, pending: 1 } })
  expect(of('6.1')).toMatchObject({ stopped: null, counts: { succeeded: 2 } })
  for (const host of good) expect(await versionOf(host)).toContain('(uptide v2)')
  for (const host of bad) expect(await versionOf(host)).not.toContain('uptide')
  const warned = await Promise.all(bad.map(async (host) => (await labSsh(host, ['dmesg'])).stdout.includes('this release is bad')))
  expect(warned.filter(Boolean)).toHaveLength(1)
  const events = await api.call<{ items: readonly { readonly kind: string; readonly data: { readonly reason?: { readonly code: string } } }[] }>('GET', `/events?rolloutId=${id}&limit=1000`)
  expect(events.items.filter((event) => event.kind === 'target.failed').map((event) => event.data.reason?.code)).toEqual(['KERNEL_WARNING'])
})
