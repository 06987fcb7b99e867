// A control plane that is frozen for longer than its leases and then wakes up, believing that nothing happened: the
// database and every host refuse it, and another has long gone on.
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDatabase, type FreshDatabase } from '@uptide/store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api, furnish, newKey, readEffects, type Server, type SimHosts, startHosts, startServer, untilState, workFolder } from './bench.js'
import { checkInvariants } from './invariants.js'

const inFlightMax = 4
const strategy = { waves: [{ kind: 'percent', percent: 100 }], canaryPerBuild: 1, inFlightMax, errorsMax: 0, bakeMs: 100, retry: { attemptsMax: 8, firstMs: 200, maxMs: 1000 } }
/** Twice the bench's lease of 1.5 s. */
const frozenMs = 3_500

const folder = workFolder()
const key = newKey()
let database: FreshDatabase
let hosts: SimHosts
let sleeper: Server
let other: Server
let api: Api

beforeAll(async () => {
  database = await freshDatabase()
  hosts = await startHosts(folder.dir, 8, key)
  sleeper = await startServer({ dir: folder.dir, databaseUrl: database.url })
  if (sleeper.token === null) throw new Error(`no token: ${sleeper.log.join('\n')}`)
  await furnish(new Api(sleeper.url, sleeper.token), hosts, key)
  other = await startServer({ dir: folder.dir, databaseUrl: database.url })
  api = new Api(sleeper.url, sleeper.token).at(other.url)
})

afterAll(async () => {
  for (const server of [sleeper, other]) { server?.child.kill('SIGCONT'); server?.child.kill('SIGKILL'); await server?.exited }
  hosts?.stop()
  await database?.drop()
  folder.remove()
})

describe('a control plane that was frozen', () => {
  // Each time at another place of its work: while it claims, sends, loads, watches.
  for (const afterMs of [250, 600, 1_000]) {
    it(`${afterMs} ms into a rollout does no harm when it wakes up after its leases have gone to another`, async () => {
      hosts = await startHosts(folder.dir, 8, key, hosts)
      for (const name of hosts.hosts) await api.call('POST', `/hosts/${name}/probe`, {})
      const { id } = await api.call<{ id: string }>('POST', '/rollouts', { name: `zombie-${afterMs}`, patch: 'fix', selection: { all: true }, strategy })
      await untilState(api, id, ['running'])
      await sleep(afterMs)
      sleeper.child.kill('SIGSTOP')
      await sleep(frozenMs)
      sleeper.child.kill('SIGCONT')
      const rollout = await untilState(api, id, ['succeeded', 'held', 'failed'])
      expect(rollout.state, JSON.stringify(rollout.reason)).toBe('succeeded')
      expect((await api.targets(id)).map((one) => one.state)).toEqual(Array.from({ length: 8 }, () => 'succeeded'))
      const checked = await checkInvariants(database.url, readEffects(hosts.journal), inFlightMax)
      expect(checked.faults).toEqual([])
      expect(checked.loads).toBe(8)
      // It goes on working afterwards.
      expect((await api.at(sleeper.url).rollout(id)).state).toBe('succeeded')
    })
  }

  it('was in the middle of something: its attempts were given up and taken on by the other', async () => {
    expect((await api.call<{ items: object[] }>('GET', '/events?kind=attempt.abandoned&limit=100')).items.length).toBeGreaterThan(0)
  })
})
