// Halted artefacts, and the hosts that may have come to harm by them.
import type { Reason, TargetState } from '@uptide/rollout'
import type { Database } from '../database.js'
import { Prisma } from '../generated/client.js'
import type { Page, Paged } from './page.js'
import { paged } from './page.js'

export interface HaltRow {
  readonly id: string; readonly sha256: string; readonly patch: string; readonly kernel: string; readonly rolloutId: string; readonly rollout: string
  readonly host: string; readonly reason: Reason; readonly at: Date; readonly releasedAt: Date | null; readonly releasedBy: string | null; readonly releasedSays: string | null
  readonly suspects: readonly { readonly host: string; readonly rollout: string; readonly state: TargetState; readonly reason: Reason | null }[]
}

const suspectsMax = 100

/** Reasons of a failure that may be the artefact's doing; a host that merely refused it is no suspect. */
const harm = ['REBOOTED', 'LOST', 'UNREACHABLE_AFTER_LOAD', 'KERNEL_OOPS', 'KERNEL_WARNING', 'HUNG_TASKS']

const select = (where: Prisma.Sql, limit: number): Prisma.Sql => Prisma.sql`
  SELECT h.id, h.sha256, p.name AS patch, b.kernel_release AS kernel, h.rollout_id AS "rolloutId", r.name AS rollout, h.host_name AS host, h.reason, h.at,
    h.released_at AS "releasedAt", h.released_by AS "releasedBy", h.released_says AS "releasedSays",
    coalesce((SELECT jsonb_agg(s) FROM (
      SELECT t.host_name AS host, o.name AS rollout, t.state, t.reason FROM targets t JOIN builds tb ON tb.id = t.build_id JOIN rollouts o ON o.id = t.rollout_id
      WHERE tb.sha256 = h.sha256 AND (t.state = 'lost' OR (t.state = 'failed' AND t.reason->>'code' = ANY(${harm}))) ORDER BY t.since DESC LIMIT ${suspectsMax}) s), '[]') AS suspects
  FROM halts h JOIN builds b ON b.id = h.build_id JOIN patches p ON p.id = b.patch_id JOIN rollouts r ON r.id = h.rollout_id
  WHERE ${where} ORDER BY h.id DESC LIMIT ${limit}`

/** Halts, newest first; released ones or those that still hold. */
export async function listHalts(db: Database, released: boolean, page: Page): Promise<Paged<HaltRow>> {
  const after = page.after === undefined ? Prisma.sql`TRUE` : Prisma.sql`h.id < ${page.after}::uuid`
  const state = released ? Prisma.sql`h.released_at IS NOT NULL` : Prisma.sql`h.released_at IS NULL`
  const rows = await db.prisma.$queryRaw<HaltRow[]>(select(Prisma.sql`${state} AND ${after}`, page.limit + 1))
  return paged(rows, page.limit, (row) => row.id)
}

export async function findHalt(db: Database, id: string): Promise<HaltRow | null> {
  const [row] = await db.prisma.$queryRaw<HaltRow[]>(select(Prisma.sql`h.id = ${id}::uuid`, 1))
  return row ?? null
}
