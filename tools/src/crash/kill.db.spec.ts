// kill -9 of the control plane at every named step of a rollout; then it starts again and finishes the job.
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDatabase, type FreshDatabase } from '@uptide/store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api, furnish, newKey, readEffects, type Server, type SimHosts, startHosts, startServer, untilState, workFolder } from './bench.js'
import { checkInvariants } from './invariants.js'

const inFlightMax = 4
const strategy = { waves: [{ kind: 'percent', percent: 100 }], canaryPerBuild: 1, inFlightMax, errorsMax: 0, bakeMs: 100, retry: { attemptsMax: 8, firstMs: 200, maxMs: 1000 } }

/** Every named place, and the driver's own steps that change something or come right before and after it. */
const points = [
  'reconcile-view:3', 'reconcile-plan:2', 'reconcile-commit:3', 'reconcile-ring:2',
  'claim', 'channel-open', 'phase-before@stage', 'phase-after@load', 'step-before@stage', 'step-after@stage', 'step-before@load', 'step-after@load',
  'step-before@watch', 'step-after@watch:2', 'end-before', 'end-after:2', 'attempt-ring',
]

let database: FreshDatabase
let hosts: SimHosts
let api: Api
let server: Server
const folder = workFolder()
const key = newKey()

const restart = async (env: Record<string, string> = {}, waitUntilUp = true): Promise<void> => {
  server = await startServer({ dir: folder.dir, databaseUrl: database.url, env, waitUntilUp })
  api = api?.at(server.url)
}

beforeAll(async () => {
  database = await freshDatabase()
  hosts = await startHosts(folder.dir, 6, key)
  server = await startServer({ dir: folder.dir, databaseUrl: database.url })
  if (server.token === null) throw new Error(`no token: ${server.log.join('\n')}`)
  api = new Api(server.url, server.token)
  await furnish(api, hosts, key)
})

afterAll(async () => {
  server?.child.kill('SIGKILL')
  await server?.exited
  hosts?.stop()
  await database?.drop()
  folder.remove()
})

describe('a control plane that is killed', () => {
  for (const point of points) {
    it(`loses and doubles nothing when it dies at ${point}`, async () => {
      // Hosts as after a fresh install: nothing staged, nothing loaded.
      hosts = await startHosts(folder.dir, 6, key, hosts)
      for (const name of hosts.hosts) await api.call('POST', `/hosts/${name}/probe`, {})
      const name = `kill-${point.replace(/[^a-z0-9]+/g, '-')}`
      const { id } = await api.call<{ id: string }>('POST', '/rollouts', { name, patch: 'fix', selection: { all: true }, strategy, start: false })
      server.child.kill('SIGTERM')
      await server.exited
      // Armed before the work is there, so that the first who gets to the point dies.
      await restart({ UPTIDE_FAIL_AT: point })
      await api.call('POST', `/rollouts/${id}/start`, {}).catch(() => {})
      const end = await Promise.race([server.exited, sleep(20_000).then(() => null)])
      expect(end?.signal, `it was to be killed at ${point}`).toBe('SIGKILL')

      await restart()
      await api.call('POST', `/rollouts/${id}/start`, {}).catch(() => {})
      const rollout = await untilState(api, id, ['succeeded', 'held', 'failed'])
      expect(rollout.state, JSON.stringify(rollout.reason)).toBe('succeeded')
      expect((await api.targets(id)).map((one) => one.state)).toEqual(Array.from({ length: 6 }, () => 'succeeded'))
      const checked = await checkInvariants(database.url, readEffects(hosts.journal), inFlightMax)
      expect(checked.faults).toEqual([])
      expect((await api.call<{ ok: boolean; says: string }>('GET', '/events/verify')).says).toMatch(/in place, unchanged and in order/)
    })
  }

  it('takes everything back after it died in the middle of a revert', async () => {
    const { items } = await api.call<{ items: { id: string; name: string; state: string }[] }>('GET', '/rollouts?limit=1')
    const id = items[0]?.id ?? ''
    server.child.kill('SIGTERM')
    await server.exited
    await restart({ UPTIDE_FAIL_AT: 'step-after@write:2' })
    await api.call('POST', `/rollouts/${id}/revert`, {})
    expect((await server.exited).signal).toBe('SIGKILL')
    await restart()
    await untilState(api, id, ['reverted'])
    expect((await api.targets(id)).map((one) => one.state)).toEqual(Array.from({ length: 6 }, () => 'reverted'))
    expect((await checkInvariants(database.url, readEffects(hosts.journal), inFlightMax)).faults).toEqual([])
  })

  it('two control planes on one database share a rollout without stepping on each other', async () => {
    hosts = await startHosts(folder.dir, 6, key, hosts)
    for (const name of hosts.hosts) await api.call('POST', `/hosts/${name}/probe`, {})
    const second = await startServer({ dir: folder.dir, databaseUrl: database.url })
    try {
      const { id } = await api.call<{ id: string }>('POST', '/rollouts', { name: 'two-planes', patch: 'fix', selection: { all: true }, strategy })
      await untilState(api.at(second.url), id, ['succeeded'])
      const { items } = await api.call<{ items: { principal: string; kind: string }[] }>('GET', `/events?rolloutId=${id}&limit=1000`)
      expect(new Set(items.filter((event) => event.kind === 'attempt.ended').map((event) => event.principal)).size).toBeGreaterThanOrEqual(1)
      expect((await checkInvariants(database.url, readEffects(hosts.journal), inFlightMax)).faults).toEqual([])
    } finally {
      second.child.kill('SIGTERM')
      await second.exited
    }
  })

  it('a second start on the same folder and port says who is there, and ends with 3', async () => {
    const second = await startServer({ dir: folder.dir, databaseUrl: database.url, port: Number(new URL(server.url).port), waitUntilUp: false })
    expect((await second.exited).code).toBe(3)
    expect(second.log.join('\n')).toContain(`process ${server.child.pid}`)
  })
})
