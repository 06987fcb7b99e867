// A small fleet in a database, made by the same commits that the API uses.
import { createHash } from 'node:crypto'
import { defaultStrategy, type Outcome, plan, type Strategy } from '@uptide/rollout'
import { newId } from '../ids.js'
import type { Store } from '../open.js'
import type { Sql } from './sql.js'

export interface Fleet {
  readonly credentialId: string
  readonly patchId: string
  readonly buildId: string
  readonly hosts: readonly { readonly id: string; readonly name: string }[]
}

export const fleetKernel = '6.12.57+deb13-amd64'
const principal = 'token:spec'

let fleets = 0

/** Enrols `count` hosts of one kernel, with a patch that has a build for it. With `sql` the build has succeeded elsewhere already. */
export async function makeFleet(store: Store, count: number, sql?: Sql): Promise<Fleet> {
  const run = ++fleets
  const credentialId = newId()
  await store.addCredential({ id: credentialId, name: `key-${run}`, publicKey: 'ssh-ed25519 AAAA spec', sealed: new Uint8Array([1, 2, 3]), keyVersion: 1 }, principal)
  const patch = await store.addPatch({ name: `fix-${run}`, title: 'A fix', description: '', cves: ['CVE-2026-0001'], severity: 'important' }, principal)
  if (!patch.ok) throw new Error('the patch was not made')
  const bytes = Buffer.from(`module ${run}`)
  const build = await store.addBuild({
    patchId: patch.id, patchName: `fix-${run}`, sha256: createHash('sha256').update(bytes).digest('hex'), bytes, kernelRelease: fleetKernel, kernelBuildId: null, arch: 'x86_64',
    moduleName: `uptide_fix_${run}`, srcversion: 'ABCDEF0123456789', moduleBuildId: null, vermagic: `${fleetKernel} SMP preempt mod_unload modversions`,
    objects: [{ name: 'vmlinux', functions: ['cmdline_proc_show'] }], objectsSource: 'relocations', replace: 'no', replaceSource: 'declared',
    rollbackRisk: { level: 'low', reasons: [] }, signature: { present: false, says: 'not signed' },
  }, principal)
  if (!build.ok) throw new Error('the build was not made')
  await sql?.query('UPDATE builds SET proven_at = now() WHERE id = $1', [build.id])
  const hosts: { id: string; name: string }[] = []
  for (let i = 0; i < count; i++) {
    const name = `host-${run}-${String(i).padStart(5, '0')}`
    const made = await store.addHost({
      name, address: '127.0.0.1', port: 22, user: 'root', gateMode: 'zero-install', hostKey: 'ssh-ed25519 AAAA', hostKeySha256: `SHA256:${'A'.repeat(43)}`, credentialId, labels: { run: String(run) },
    }, principal)
    if (!made.ok) throw new Error(`the host ${name} was not enrolled`)
    hosts.push({ id: made.id, name })
  }
  return { credentialId, patchId: patch.id, buildId: build.id, hosts }
}

/** A strategy whose waits are short enough for a spec. */
export const quickStrategy: Strategy = { ...defaultStrategy, bakeMs: 0, inFlightMax: 1_000, errorsMax: 1_000, retry: { attemptsMax: 3, firstMs: 1, maxMs: 5 } }

/** A rollout of the fleet's patch: the first `canary` hosts are the canary, the others are one wave. @returns its id. */
export async function makeRollout(store: Store, fleet: Fleet, { hosts = fleet.hosts, strategy = quickStrategy, name = `rollout-${newId()}`, canary = 1 }: { hosts?: Fleet['hosts']; strategy?: Strategy; name?: string; canary?: number } = {}): Promise<string> {
  const targets = hosts.map((host) => ({ hostId: host.id, hostName: host.name, buildId: fleet.buildId }))
  const made = await store.createRollout({
    name, patchId: fleet.patchId, strategy, plan: { waves: [] }, start: true, skipped: [],
    waves: [{ canary: true, targets: targets.slice(0, canary) }, ...(targets.length > canary ? [{ canary: false, targets: targets.slice(canary) }] : [])],
  }, principal)
  if (!made.ok) throw new Error(`the rollout ${name} was not made`)
  return made.id
}

/** Plans and commits until there is nothing to decide. @returns the attempts to hand out. */
export async function reconcile(store: Store, rolloutId: string): Promise<string[]> {
  const toRing: string[] = []
  for (let round = 0; round < 20; round++) {
    const view = await store.loadRolloutView(rolloutId)
    if (!view) throw new Error(`there is no rollout ${rolloutId}`)
    const made = plan(view, await store.now())
    if (made.decisions.length === 0) return toRing
    toRing.push(...(await store.commitPlan(view, made, 'reconcile')).toRing)
  }
  throw new Error(`the rollout does not come to rest: ${JSON.stringify(plan((await store.loadRolloutView(rolloutId))!, await store.now()).decisions)}`)
}

export const bootId = '11111111-2222-4333-8444-555555555555'

/** What a host that holds the build well reports. */
export const patchedOutcome: Outcome = {
  kind: 'patched', transitionMs: 1_250, already: false,
  reading: { moduleState: 'ACTIVE', bootId, kernelRelease: fleetKernel, taint: 0x8000, loaded: ['uptide_fix_1'] },
}
