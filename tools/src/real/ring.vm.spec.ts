// The whole ring on real kernels, through both doors of the gate; and a host that reboots in the middle of a transition.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Lab, labDown, type LabHost, labModules, labReboot, labSsh, labUp, sshArgs } from '@uptide/lab'
import { checkPrivateKey, makePrivateKey } from '@uptide/transport'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api, untilState } from '../crash/bench.js'
import { type Plane, root, startPlane } from '../plane.js'

const folder = mkdtempSync(path.join(tmpdir(), 'uptide-real-'))
const strategy = { bakeMs: 1000, stall: { afterMs: 4000, acts: ['wait'], intervalMs: 3000 }, retry: { attemptsMax: 6, firstMs: 500, maxMs: 4000 } }
const ownKey = makePrivateKey()
let lab: Lab
let plane: Plane
let api: Api
const old = (): LabHost => lab.hosts[0] as LabHost
const fresh = (): LabHost => lab.hosts[1] as LabHost
const textOf = async (host: LabHost): Promise<string> => (await labSsh(host, ['cat', '/proc/version'])).stdout

/** Puts the gate where the docs say, behind a forced command for a key of its own. */
async function installGate(host: LabHost): Promise<void> {
  const checked = checkPrivateKey(ownKey)
  if (!checked.ok) throw new Error(checked.says)
  await labSsh(host, ['sh', '-c', 'mkdir -p /usr/libexec && cat > /usr/libexec/uptide-gate && chmod 755 /usr/libexec/uptide-gate'], { input: readFileSync(path.join(root, 'apps/gate/uptide-gate'), 'utf8') })
  await labSsh(host, ['sh', '-c', 'cat >> /root/.ssh/authorized_keys'], { input: `restrict,command="/usr/libexec/uptide-gate" ${checked.publicKey}\n` })
}

beforeAll(async () => {
  lab = await labUp({ hosts: 2, kernels: ['6.1', '6.12'], dir: path.join(folder, 'lab') })
  plane = await startPlane({ data: path.join(folder, 'plane'), port: 4391, env: { SWEEP_MS: '1000' } })
  api = new Api(plane.url, plane.token ?? '')
  await installGate(old())
  await api.call('POST', '/credentials', { name: 'forced', privateKey: ownKey })
  await api.call('POST', '/credentials', { name: 'default', privateKey: readFileSync(fresh().privateKeyPath, 'utf8') })
  const address = (host: LabHost): object => ({ address: host.address, port: host.port, hostKey: host.hostKey })
  await api.call('POST', '/hosts', { name: 'old', ...address(old()), gateMode: 'installed', credential: 'forced' })
  await api.call('POST', '/hosts', { name: 'fresh', ...address(fresh()), gateMode: 'zero-install' })
  await api.call('POST', '/patches', { name: 'fix', title: 'fix' })
  for (const host of lab.hosts) await api.call('POST', '/patches/fix/builds', new Uint8Array(readFileSync((await labModules(host.kernelKey)).modules['uptide_v1'] ?? '')))
})

afterAll(async () => {
  await plane?.stop()
  await labDown({ dir: path.join(folder, 'lab'), wipe: true })
  rmSync(folder, { recursive: true, force: true })
})

describe('real kernels', () => {
  it('are live-patched through the installed gate and through zero-install, and taken back', async () => {
    const { id } = await api.call<{ id: string }>('POST', '/rollouts', { patch: 'fix', selection: { all: true }, strategy })
    expect((await untilState(api, id, ['succeeded', 'held', 'failed'], 90_000)).state).toBe('succeeded')
    for (const host of lab.hosts) expect(await textOf(host)).toContain('(uptide v1)')
    for (const target of await api.targets(id)) {
      expect(target.transitionMs, target.host).toBeGreaterThan(0)
      expect(target.bootIdAfter).toBe(target.bootIdBefore)
    }
    await api.call('POST', `/rollouts/${id}/revert`, {})
    await untilState(api, id, ['reverted'], 90_000)
    for (const host of lab.hosts) expect(await textOf(host)).not.toContain('uptide')
  })

  it('obey only the gate when a forced command stands before them', async () => {
    const forced = path.join(folder, 'forced-key')
    const { writeFileSync } = await import('node:fs')
    writeFileSync(forced, ownKey, { mode: 0o600 })
    const { spawnSync } = await import('node:child_process')
    const args = sshArgs(old()).map((arg) => (arg === old().privateKeyPath ? forced : arg))
    const said = spawnSync('ssh', [...args, 'id; cat /etc/shadow'], { encoding: 'utf8', input: 'id\n', timeout: 30_000 })
    expect(said.stdout).not.toMatch(/uid=|root:/)
    expect(said.stdout).toContain('! BAD_REQUEST')
  })

  it('that reboot in the middle of a transition are a failure, never a success, and hold the rollout', async () => {
    await labSsh(fresh(), ['/lab/reader', 'start', 'killable'])
    const { id } = await api.call<{ id: string }>('POST', '/rollouts', { patch: 'fix', selection: { hosts: ['fresh'] }, strategy })
    const stalled = async (): Promise<boolean> => (await api.targets(id)).some((one) => one.state === 'stalled' && one.blockers.length > 0)
    for (const until = Date.now() + 60_000; Date.now() < until && !(await stalled());) await new Promise((done) => { setTimeout(done, 300) })
    const [target] = await api.targets(id)
    expect(target?.state).toBe('stalled')
    expect(target?.blockers.map((one) => one.comm)).toContain('cat')
    await labReboot(fresh())
    const rollout = await untilState(api, id, ['held', 'failed', 'succeeded'], 90_000)
    expect(rollout.state).toBe('held')
    // A look that came during the reboot made it lost first; it is looked for until it says what happened.
    let [after] = await api.targets(id)
    for (const until = Date.now() + 60_000; Date.now() < until && after?.state !== 'failed'; [after] = await api.targets(id)) await new Promise((done) => { setTimeout(done, 500) })
    expect(after?.state).toBe('failed')
    expect(after?.reason?.code).toBe('REBOOTED')
  })

  it('behind a key that is not the pinned one are left alone and quarantined', async () => {
    const stranger = await api.call<{ state: string; reason: { code: string } }>('POST', '/hosts', { name: 'stranger', address: fresh().address, port: fresh().port, hostKey: old().hostKey })
    expect(stranger.state).toBe('quarantined')
    expect(stranger.reason.code).toBe('HOST_KEY_CHANGED')
    await expect(api.call('POST', '/rollouts', { patch: 'fix', selection: { hosts: ['stranger'] } })).rejects.toThrow(/NOTHING_TO_DO/)
  })
})
