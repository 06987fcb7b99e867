// Redis carries wake-ups only: emptied or killed in the middle of a rollout, the end is the same.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDatabase, type FreshDatabase } from '@uptide/store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api, furnish, newKey, readEffects, type Server, type SimHosts, startHosts, startServer, untilState, workFolder } from './bench.js'
import { freePort } from '../free-port.js'
import { checkInvariants } from './invariants.js'

const inFlightMax = 3
const strategy = { waves: [{ kind: 'percent', percent: 50 }], inFlightMax, bakeMs: 300, retry: { attemptsMax: 8, firstMs: 200, maxMs: 1000 } }
const folder = workFolder()
const key = newKey()
let database: FreshDatabase
let redis: ChildProcess
let redisPort: number
let hosts: SimHosts
let server: Server
let api: Api

async function startRedis(): Promise<void> {
  const dir = path.join(folder.dir, `redis-${Date.now()}`)
  mkdirSync(dir)
  redis = spawn('redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--dir', dir, '--appendonly', 'yes', '--maxmemory-policy', 'noeviction', '--save', ''], { stdio: 'ignore' })
  for (let i = 0; i < 100; i++) {
    if ((await tell('PING').catch(() => '')).startsWith('+PONG')) return
    await sleep(50)
  }
  throw new Error('redis did not start')
}

/** One command over a socket of its own, in Redis's inline form. */
async function tell(command: string): Promise<string> {
  const { connect } = await import('node:net')
  return new Promise((done, fail) => {
    const socket = connect(redisPort, '127.0.0.1', () => { socket.write(`${command}\r\n`) })
    socket.once('data', (chunk: Buffer) => { done(chunk.toString('latin1')); socket.destroy() })
    socket.once('error', fail)
  })
}

beforeAll(async () => {
  database = await freshDatabase()
  redisPort = await freePort()
  await startRedis()
  hosts = await startHosts(folder.dir, 10, key)
  server = await startServer({ dir: folder.dir, databaseUrl: database.url, redisUrl: `redis://127.0.0.1:${redisPort}/0` })
  if (server.token === null) throw new Error(`no token: ${server.log.join('\n')}`)
  api = new Api(server.url, server.token)
  await furnish(api, hosts, key)
})

afterAll(async () => {
  server?.child.kill('SIGKILL')
  await server?.exited
  hosts?.stop()
  redis?.kill('SIGKILL')
  await database?.drop()
  folder.remove()
})

async function disturbed(name: string, disturb: () => Promise<unknown>): Promise<void> {
  hosts = await startHosts(folder.dir, 10, key, hosts)
  for (const host of hosts.hosts) await api.call('POST', `/hosts/${host}/probe`, {})
  const { id } = await api.call<{ id: string }>('POST', '/rollouts', { name, patch: 'fix', selection: { all: true }, strategy })
  await untilState(api, id, ['running'])
  for (let i = 0; i < 5; i++) { await sleep(250); await disturb() }
  expect((await untilState(api, id, ['succeeded', 'held', 'failed'])).state).toBe('succeeded')
  const targets = await api.targets(id)
  expect(targets.map((one) => one.state)).toEqual(Array.from({ length: 10 }, () => 'succeeded'))
  const checked = await checkInvariants(database.url, readEffects(hosts.journal), inFlightMax)
  expect(checked.faults).toEqual([])
  expect(checked.loads).toBe(10)
}

describe('a rollout over Redis', () => {
  it('ends the same when Redis is flushed again and again in its middle', async () => {
    await disturbed('flushed', () => tell('FLUSHALL'))
  })

  it('ends the same when Redis is killed in its middle and comes back empty', async () => {
    let killed = false
    await disturbed('killed', async () => {
      if (killed) return
      killed = true
      redis.kill('SIGKILL')
      await sleep(1500)
      expect((await fetch(`${server.url}/api/v1/health`)).ok).toBe(true)
      await startRedis()
    })
  })

  it('takes no notice of jobs that somebody else put there', async () => {
    await tell('HSET bull:execute:forged name attempt data {"id":"../../etc/passwd"} opts {} timestamp 1 delay 0 priority 0')
    await tell('LPUSH bull:execute:wait forged')
    await sleep(1000)
    expect((await fetch(`${server.url}/api/v1/health`)).ok).toBe(true)
    await disturbed('forged', async () => {})
  })
})
