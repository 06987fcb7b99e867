// The one connection to the truth: a Prisma client, and how a transaction with events is made.
import { createHash } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { linkEvents, storable } from '@uptide/evidence'
import pg from 'pg'
import { Prisma, PrismaClient } from './generated/client.js'
import type { EventInput, Principal } from './port.js'

export type Tx = Prisma.TransactionClient

export interface Database {
  readonly url: string
  readonly prisma: PrismaClient
  close(): Promise<void>
}

/** A transaction never spans a conversation with a host: seconds are a generous limit. */
const transactionTimeoutMs = 30_000
const transactionWaitMs = 15_000
/** Serialisation failures and deadlocks are tried again so often. */
const conflictsMax = 5
/** Any number, the same in every process: the chain has one writer at a time. */
const chainLock = 7_302_551

export function openDatabase(url: string, poolMax: number): Database {
  const prisma = new PrismaClient({
    adapter: new PrismaPg({ connectionString: url, max: poolMax, options: '-c statement_timeout=25s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s', application_name: 'uptide' }, { onPoolError: () => {}, onConnectionError: () => {} }),
    transactionOptions: { timeout: transactionTimeoutMs, maxWait: transactionWaitMs },
  })
  return { url, prisma, close: async () => { await prisma.$disconnect() } }
}

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

/** Thrown inside a transaction to undo it and answer with a value. */
class Undone extends Error {
  constructor(readonly value: unknown) { super('undone') }
}

export interface Writing {
  readonly tx: Tx
  /** Events of this transaction; chained and written last, just before the commit. */
  emit(event: EventInput): void
  /** Rolls everything back and makes `write` answer with `value`. */
  undo(value: unknown): never
}

/**
 * One transaction with its events (law 3). The chain's lock is taken last: it serialises commits, and nothing that
 * waits for a row may hold it.
 */
export async function write<T>(db: Database, principal: Principal, work: (writing: Writing) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.prisma.$transaction(async (tx) => {
        const events: EventInput[] = []
        const result = await work({ tx, emit: (event) => { events.push(event) }, undo: (value) => { throw new Undone(value) } })
        await appendEvents(tx, principal, events)
        return result
      })
    } catch (error) {
      if (error instanceof Undone) return error.value as T
      if (attempt >= conflictsMax || !isConflict(error)) throw error
    }
  }
}

async function appendEvents(tx: Tx, principal: Principal, events: readonly EventInput[]): Promise<void> {
  if (events.length === 0) return
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(${chainLock})`
  // A statement of its own: its snapshot must be taken after the lock was had.
  const [head] = await tx.$queryRaw<{ seq: bigint | null; hash: Uint8Array | null; at: Date }[]>`
    SELECT e.seq, e.hash, date_trunc('milliseconds', clock_timestamp()) AS at FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1) e ON true`
  const at = (head?.at ?? new Date(0)).toISOString()
  const linked = linkEvents(
    head?.seq && head.hash ? { seq: head.seq.toString(), hash: head.hash } : null,
    events.map((event) => ({
      at, principal, kind: event.kind, rolloutId: event.rolloutId ?? null, hostId: event.hostId ?? null, targetId: event.targetId ?? null,
      data: storable(event.data),
    })),
    sha256,
  )
  const rows = JSON.stringify(linked.map((event) => ({ ...event, prevHash: Buffer.from(event.prevHash).toString('hex'), hash: Buffer.from(event.hash).toString('hex') })))
  await tx.$executeRaw`
    INSERT INTO events (seq, at, principal, kind, rollout_id, host_id, target_id, data, prev_hash, hash)
    SELECT seq, at, principal, kind, "rolloutId", "hostId", "targetId", data, decode("prevHash", 'hex'), decode(hash, 'hex')
    FROM jsonb_to_recordset(${rows}::jsonb) AS x(seq bigint, at timestamptz, principal text, kind text, "rolloutId" uuid, "hostId" uuid, "targetId" uuid, data jsonb, "prevHash" text, hash text)
    ORDER BY seq`
}

/** 40001 and 40P01 from raw statements, P2034 from Prisma's own. */
function isConflict(error: unknown): boolean {
  const { code, meta, message } = error as { code?: string; meta?: { code?: string; driverAdapterError?: { cause?: { originalCode?: string } } }; message?: string }
  const inner = meta?.driverAdapterError?.cause?.originalCode ?? meta?.code
  return code === 'P2034' || inner === '40001' || inner === '40P01' || /deadlock detected|could not serialize|write conflict/i.test(message ?? '')
}

export function isUniqueViolation(error: unknown): boolean {
  const { code, meta, message } = error as { code?: string; meta?: { code?: string; driverAdapterError?: { cause?: { originalCode?: string } } }; message?: string }
  return code === 'P2002' || meta?.driverAdapterError?.cause?.originalCode === '23505' || meta?.code === '23505' || /duplicate key value/i.test(message ?? '')
}

/** Listens on channels with a connection of its own; comes back by itself. `wake` is also called after every reconnect, since something may have been missed. */
export function listen(url: string, channels: readonly string[], wake: (channel: string, payload: string) => void): () => Promise<void> {
  let closed = false
  let client: pg.Client | null = null
  let timer: NodeJS.Timeout | null = null
  const again = (): void => { if (!closed) { timer = setTimeout(() => { void connect() }, 1_000) } }
  const connect = async (): Promise<void> => {
    const next = new pg.Client({ connectionString: url, application_name: 'uptide-listen', keepAlive: true })
    client = next
    let gone = false
    next.on('error', () => { if (!gone) { gone = true; void next.end().catch(() => {}); again() } })
    next.on('end', () => { if (!gone) { gone = true; again() } })
    next.on('notification', ({ channel, payload }) => { wake(channel, payload ?? '') })
    try {
      await next.connect()
      for (const channel of channels) await next.query(`LISTEN ${pg.escapeIdentifier(channel)}`)
      for (const channel of channels) wake(channel, '')
    } catch { if (!gone) { gone = true; void next.end().catch(() => {}); again() } }
  }
  void connect()
  return async () => { closed = true; if (timer) clearTimeout(timer); await client?.end().catch(() => {}) }
}
