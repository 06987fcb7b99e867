// The log, and who may ask.
import { ChainVerifier, type ChainVerdict } from '@uptide/evidence'
import { type Database, sha256 } from '../database.js'
import type { Paged } from './page.js'

export interface StoredEvent {
  readonly seq: string; readonly at: string; readonly principal: string; readonly kind: string
  readonly rolloutId: string | null; readonly hostId: string | null; readonly targetId: string | null
  readonly data: Readonly<Record<string, unknown>>; readonly prevHash: Uint8Array; readonly hash: Uint8Array
}

export interface EventFilter { readonly rolloutId?: string; readonly hostId?: string; readonly kind?: string }

/** Events later than `after`, in order. Seq has no gaps and commits in order: a cursor over it loses nothing. */
export async function listEvents(db: Database, filter: EventFilter, page: { readonly after?: string; readonly limit: number }): Promise<Paged<StoredEvent>> {
  const rows = await db.prisma.event.findMany({
    where: { seq: { gt: BigInt(page.after ?? 0) }, ...(filter.rolloutId === undefined ? {} : { rolloutId: filter.rolloutId }), ...(filter.hostId === undefined ? {} : { hostId: filter.hostId }), ...(filter.kind === undefined ? {} : { kind: filter.kind }) },
    orderBy: { seq: 'asc' }, take: page.limit + 1,
  })
  const items = rows.slice(0, page.limit).map((row) => ({ ...row, seq: row.seq.toString(), at: row.at.toISOString(), data: row.data as Record<string, unknown> }))
  return { items, next: rows.length > page.limit ? (items.at(-1)?.seq ?? null) : null }
}

export async function lastSeq(db: Database): Promise<string> {
  return (await db.prisma.event.findFirst({ orderBy: { seq: 'desc' }, select: { seq: true } }))?.seq.toString() ?? '0'
}

/** Rows read at once while verifying: a few MB of memory. */
const verifyRows = 2_000

export async function verifyEvents(db: Database): Promise<ChainVerdict> {
  const verifier = new ChainVerifier(sha256)
  for (let after: string | null = '0'; after !== null;) {
    const page: Paged<StoredEvent> = await listEvents(db, {}, { after, limit: verifyRows })
    for (const event of page.items) if (!verifier.add(event)) return verifier.verdict()
    after = page.next
  }
  return verifier.verdict()
}

export const listTokens = (db: Database) => db.prisma.token.findMany({ orderBy: { name: 'asc' }, select: { id: true, name: true, createdAt: true, lastUsedAt: true, revokedAt: true } })
export const findToken = (db: Database, id: string) => db.prisma.token.findUnique({ where: { id } })
export const findTokenByName = (db: Database, name: string) => db.prisma.token.findUnique({ where: { name } })

export async function getSetting(db: Database, key: string): Promise<unknown> {
  return (await db.prisma.setting.findUnique({ where: { key } }))?.value ?? null
}
export async function putSetting(db: Database, key: string, value: object): Promise<void> {
  await db.prisma.setting.upsert({ where: { key }, create: { key, value }, update: { value } })
}
