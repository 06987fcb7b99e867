import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newId } from '../ids.js'
import { openStore, type Store } from '../open.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { bootId, type Fleet, fleetKernel, makeFleet, makeRollout } from '../testing/fleet.js'

let database: FreshDatabase
let store: Store
let fleet: Fleet
const facts = { kernelRelease: fleetKernel, kernelBuildId: null, arch: 'x86_64', bootId, mechanism: 'klp-consistency', features: { os: 'Debian\u0000 13' }, taint: 4096, loaded: [] }

beforeAll(async () => {
  database = await freshDatabase()
  store = await openStore({ url: database.url, poolMax: 4 })
  fleet = await makeFleet(store, 7)
})
afterAll(async () => {
  expect(await store.verifyEvents()).toMatchObject({ ok: true })
  await store.close()
  await database.drop()
})

async function allPages<T>(ask: (after: string | undefined) => Promise<{ items: T[]; next: string | null }>): Promise<{ items: T[]; pages: number }> {
  const items: T[] = []
  let after: string | undefined
  for (let pages = 1; ; pages++) {
    const page = await ask(after)
    items.push(...page.items)
    if (page.next === null) return { items, pages }
    after = page.next
  }
}

describe('pages', () => {
  it('of hosts hold each host once, by name, whatever the size of the page', async () => {
    for (const limit of [1, 3, 7, 100]) {
      const { items, pages } = await allPages((after) => store.listHosts({}, { limit, after }))
      expect(items.map((host) => host.name)).toEqual(fleet.hosts.map((host) => host.name))
      expect(pages).toBe(Math.ceil(7 / limit))
    }
  })

  it('of rollouts and patches begin with the newest', async () => {
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.unshift(await makeRollout(store, fleet, { name: `page-${i}` }))
    const { items } = await allPages((after) => store.listRollouts({ limit: 2, after }))
    expect(items.map((rollout) => rollout.id)).toEqual(ids)
    expect(await store.findRollout('page-1')).toMatchObject({ id: ids[1], state: 'scheduled', waves: [{ counts: { pending: 1 } }, { counts: { pending: 6 } }] })
    expect((await store.listPatches({ limit: 10 })).items).toMatchObject([{ name: 'fix-1', builds: [{ kernelRelease: fleetKernel }] }])
  })

  it('of targets can be narrowed to a wave or a state', async () => {
    const id = await makeRollout(store, fleet)
    expect((await store.listTargets(id, { wave: 0 }, { limit: 10 })).items.map((target) => target.hostName)).toEqual([fleet.hosts[0]!.name])
    expect((await allPages((after) => store.listTargets(id, { state: 'pending' }, { limit: 2, after }))).items).toHaveLength(7)
    expect((await store.listTargets(id, { state: 'failed' }, { limit: 2 })).items).toEqual([])
  })
})

describe('a host', () => {
  it('has its name once', async () => {
    const again = { name: fleet.hosts[0]!.name, address: '10.0.0.1', port: 22, user: 'root', gateMode: 'installed' as const, hostKey: 'k', hostKeySha256: 's', credentialId: fleet.credentialId, labels: {} }
    expect(await store.addHost(again, 'token:ops')).toEqual({ ok: false, code: 'NAME_TAKEN' })
  })

  it('is reachable after a probe, unreachable when it does not answer, and quarantined until a person trusts its new key', async () => {
    const host = fleet.hosts[1]!
    const state = async () => (await store.findHost(host.name))!.state
    await store.recordProbe(host, { facts }, 'token:ops')
    expect(await store.findHost(host.name)).toMatchObject({ state: 'reachable', bootId, taint: 4096, features: { os: 'Debian 13' } })
    await store.recordProbe(host, { code: 'UNREACHABLE', says: 'No answer.' }, 'token:ops')
    expect(await state()).toBe('unreachable')
    await store.recordProbe(host, { facts }, 'token:ops')
    expect(await state()).toBe('reachable')
    await store.recordProbe(host, { code: 'HOST_KEY_CHANGED', says: 'Another key.' }, 'token:ops')
    await store.recordProbe(host, { facts }, 'token:ops')
    await store.recordProbe(host, { code: 'UNREACHABLE', says: 'No answer.' }, 'token:ops')
    expect(await store.findHost(host.name)).toMatchObject({ state: 'quarantined', reason: { code: 'HOST_KEY_CHANGED' } })
    await store.retrustHost(host, { hostKey: 'ssh-ed25519 BBBB', hostKeySha256: 'SHA256:x' }, 'Reinstalled.', 'token:ops')
    expect(await store.findHost(host.name)).toMatchObject({ state: 'enrolled', hostKey: 'ssh-ed25519 BBBB' })
  })

  it('is selected by names, by labels that all match, or with all others', async () => {
    expect((await store.selectHosts({ names: [fleet.hosts[2]!.name, 'nowhere'] })).map((host) => host.id)).toEqual([fleet.hosts[2]!.id])
    expect(await store.selectHosts({ labels: { run: '1' } })).toHaveLength(7)
    expect(await store.selectHosts({ labels: { run: '1', zone: 'x' } })).toEqual([])
    expect(await store.selectHosts({ labels: { 'run\' OR 1=1 --': '1' } })).toEqual([])
    expect(await store.selectHosts({})).toHaveLength(7)
    expect((await store.listHosts({ labels: { run: '1' }, kernel: 'none' }, { limit: 5 })).items).toEqual([])
  })
})

describe('tokens, credentials and settings', () => {
  it('keep a token until it is revoked, and revoke it once', async () => {
    const token = { id: newId(), name: 'ci', hash: Buffer.from('hash-of-a-secret') }
    expect(await store.addToken(token, 'token:admin')).toEqual({ ok: true })
    expect(await store.addToken({ ...token, id: newId(), hash: Buffer.from('other') }, 'token:admin')).toEqual({ ok: false })
    await store.touchToken(token.id)
    const seen = (await store.findToken(token.id))!
    expect(seen.lastUsedAt).not.toBeNull()
    await store.touchToken(token.id)
    expect((await store.findToken(token.id))!.lastUsedAt).toEqual(seen.lastUsedAt)
    expect(await store.revokeToken('ci', 'token:admin')).toBe(true)
    expect(await store.revokeToken('ci', 'token:admin')).toBe(false)
    expect((await store.findTokenByName('ci'))!.revokedAt).not.toBeNull()
    expect(JSON.stringify(await store.listTokens())).not.toContain('hash')
  })

  it('list credentials without what is sealed', async () => {
    expect(await store.listCredentials()).toEqual([expect.not.objectContaining({ sealed: expect.anything() as unknown })])
    expect(Buffer.from((await store.loadCredential(fleet.credentialId))!.sealed)).toEqual(Buffer.from([1, 2, 3]))
    expect(await store.loadCredential(newId())).toBeNull()
  })

  it('keep a setting, and the last one written', async () => {
    expect(await store.getSetting('feed')).toBeNull()
    await store.putSetting('feed', { on: true })
    await store.putSetting('feed', { on: false })
    expect(await store.getSetting('feed')).toEqual({ on: false })
  })
})
