// Where BullMQ keeps its jobs: Redis through ioredis when there is one, else Postgres.
import { type BackendFactory, createPostgresBackend, createRedisBackend, type QueueOptions } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'

export interface Backend {
  readonly kind: 'redis' | 'postgres'
  /** Options for a Queue, which must never make its caller wait. */
  queueOptions(): QueueOptions
  /** Options for a Worker, which waits for its backend as long as it takes. */
  workerOptions(): QueueOptions
  readonly factory: BackendFactory
  /** Waits until the backend answers. @throws when it is set up in a way that loses jobs silently. */
  ready(signal: AbortSignal): Promise<void>
}

export interface BackendChoice { readonly redisUrl?: string | undefined; readonly databaseUrl: string; warn(message: string): void }

const retryMs = 500
/** Postgres connections of each queue and worker; two queues and two workers make twelve with their listeners. */
const postgresPoolMax = 3

const pause = (signal: AbortSignal): Promise<void> => new Promise((done) => {
  if (signal.aborted) { done(); return }
  const timer = setTimeout(done, retryMs)
  signal.addEventListener('abort', () => { clearTimeout(timer); done() }, { once: true })
})

export function chooseBackend(choice: BackendChoice): Backend {
  return choice.redisUrl === undefined ? postgresBackend(choice) : redisBackend(choice.redisUrl, choice)
}

function redisBackend(url: string, { warn }: BackendChoice): Backend {
  const address = new URL(url)
  const base = {
    host: address.hostname, port: Number(address.port || 6379), db: Number(address.pathname.slice(1) || 0),
    ...(address.username ? { username: decodeURIComponent(address.username) } : {}), ...(address.password ? { password: decodeURIComponent(address.password) } : {}),
    ...(address.protocol === 'rediss:' ? { tls: {} } : {}),
  }
  return {
    kind: 'redis', factory: createRedisBackend,
    queueOptions: () => ({ connection: { ...base, enableOfflineQueue: false, maxRetriesPerRequest: 1 } }),
    workerOptions: () => ({ connection: { ...base, maxRetriesPerRequest: null } }),
    ready: async (signal) => {
      const client = new Redis({ ...base, lazyConnect: true, maxRetriesPerRequest: 1, retryStrategy: () => null })
      client.on('error', () => {})
      try {
        for (;;) {
          try { await client.connect(); break } catch { if (signal.aborted) return; await pause(signal) }
        }
        await checkRedis(client, warn)
      } finally { client.disconnect() }
    },
  }
}

/** Eviction loses jobs without a word; so does a restart without the append-only file. */
async function checkRedis(client: Redis, warn: (message: string) => void): Promise<void> {
  let policy: string | undefined; let appendonly: string | undefined
  try {
    [, policy] = await client.config('GET', 'maxmemory-policy') as [string?, string?];
    [, appendonly] = await client.config('GET', 'appendonly') as [string?, string?]
  } catch { warn('Redis does not let its settings be read; make sure that maxmemory-policy is noeviction.'); return }
  if (policy !== undefined && policy !== 'noeviction') throw new Error(`Redis has maxmemory-policy ${policy}: it would throw wake-ups away silently. Set it to noeviction.`)
  if (appendonly !== undefined && appendonly !== 'yes') warn('Redis does not keep an append-only file: a restart loses wake-ups, which costs a sweep. Set appendonly yes.')
}

/**
 * A connection that always has somebody to tell its troubles to. BullMQ takes one out of the pool to look after its
 * schema and does not listen: a database that ends in that moment would take the whole process with it.
 */
class HeardClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config)
    this.on('error', () => { /* The query under way fails by itself; the pool throws the connection away. */ })
  }
}

function postgresBackend({ databaseUrl }: BackendChoice): Backend {
  const connection = { connectionString: databaseUrl, schema: 'bullmq', max: postgresPoolMax, migrate: true, Client: HeardClient }
  return {
    kind: 'postgres', factory: createPostgresBackend as unknown as BackendFactory,
    queueOptions: () => ({ connection: connection as unknown as QueueOptions['connection'] }),
    workerOptions: () => ({ connection: connection as unknown as QueueOptions['connection'] }),
    // A queue made while the database is down never recovers (BullMQ 6.7.0 keeps the rejected promise): wait first.
    ready: async (signal) => {
      for (;;) {
        const client = new pg.Client({ connectionString: databaseUrl })
        client.on('error', () => {})
        try {
          await client.connect()
          await client.query('SELECT 1')
          return
        } catch { if (signal.aborted) return; await pause(signal) } finally { await client.end().catch(() => {}) }
      }
    },
  }
}
