// The queues on both backends, each a real server of its own that the suite may kill.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbedded } from '@uptide/store'
import { freshDatabase, openSql } from '@uptide/store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { throughDoor } from '../testing/door.js'
import { freePort, redisServer, type RedisServer } from '../testing/redis.js'
import { until } from '../testing/until.js'
import { type Backing, queueConformance } from './conformance.js'
import { openQueues } from './queues.js'

const quiet = { warn: () => {}, error: () => {} }

queueConformance('Redis', async (): Promise<Backing> => {
  const redis = await redisServer()
  return {
    options: { databaseUrl: 'postgresql://nobody@127.0.0.1:1/none', redisUrl: redis.url },
    start: redis.start, kill: redis.kill, remove: redis.remove, flush: async () => { await redis.command('FLUSHALL') },
  }
})

queueConformance('PostgreSQL', async (): Promise<Backing> => {
  const dir = mkdtempSync(path.join(tmpdir(), 'uptide-queue-'))
  chmodSync(dir, 0o755)
  // Started once for its address, which it keeps.
  const port = await freePort()
  let server = await startEmbedded({ dir, port })
  const databaseUrl = server.url
  await server.stop()
  return {
    options: { databaseUrl },
    start: async () => { server = await startEmbedded({ dir, port }) },
    kill: async () => {
      process.kill(server.pid, 'SIGKILL')
      await server.died
    },
    flush: async () => {
      const sql = await openSql(databaseUrl)
      const tables = await sql.query<{ name: string }>('SELECT format(\'%I.%I\', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = \'bullmq\' AND tablename NOT LIKE \'%migration%\'')
      await sql.query(`TRUNCATE ${tables.map((table) => table.name).join(', ')}`)
      await sql.close()
    },
    remove: async () => { await server.stop(); rmSync(dir, { recursive: true, force: true }) },
  }
})

describe('queues that were made in the very moment in which their database went away', () => {
  it('are made again, where BullMQ alone would stay dead for ever', async () => {
    const database = await freshDatabase()
    const door = await throughDoor(database.url, { letIn: 1, shutMs: 2_000 })
    const said: string[] = []
    const queues = await openQueues({ databaseUrl: door.url, log: { warn: (_details, message) => { said.push(message) }, error: () => {} } })
    try {
      const runs: string[] = []
      queues.start('reconcile', async (id) => { runs.push(id) })
      const id = randomUUID()
      await until('a ring arrives', async () => { await queues.ringRollout(id); return runs.includes(id) }, 45_000)
      expect(said).toContain('the queue is opened again')
      expect(said).toContain('the worker is started again')
    } finally {
      await queues.close(2_000)
      door.close()
      await database.drop()
    }
  })
})

describe('a Redis that is set up in a way that loses jobs', () => {
  let evicting: RedisServer
  let forgetful: RedisServer
  beforeAll(async () => {
    evicting = await redisServer(['--maxmemory-policy', 'allkeys-lru'])
    forgetful = await redisServer(['--appendonly', 'no'])
    await forgetful.start()
  })
  afterAll(async () => { await evicting.remove(); await forgetful.remove() })

  it('is refused when it throws jobs away under pressure, also when it comes up later', async () => {
    const options = { databaseUrl: 'postgresql://nobody@127.0.0.1:1/none', redisUrl: evicting.url, log: quiet }
    const refused: string[] = []
    const late = await openQueues({ ...options, refused: (says) => { refused.push(says) } }, 100)
    await evicting.start()
    await expect(openQueues(options)).rejects.toThrow('Redis has maxmemory-policy allkeys-lru: it would throw wake-ups away silently. Set it to noeviction.')
    await until('the one that waited was told', () => refused.length === 1)
    expect(refused[0]).toMatch(/noeviction/)
    await late.close(1_000)
  })

  it('is used with a warning when it forgets jobs at a restart', async () => {
    const warnings: string[] = []
    const queues = await openQueues({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none', redisUrl: forgetful.url, log: { ...quiet, warn: (_details, message) => { warnings.push(message) } } })
    await queues.close(1_000)
    await sleep(0)
    expect(warnings).toEqual(['Redis does not keep an append-only file: a restart loses wake-ups, which costs a sweep. Set appendonly yes.'])
  })
})
