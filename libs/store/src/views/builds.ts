// What the planner is shown of the builds of a rollout: counts that a trigger keeps, and what other rollouts know of them.
import type { BuildView, Reason, TargetState } from '@uptide/rollout'
import type { Tx } from '../database.js'
import { onTheWay } from './states.js'

interface BuildRow {
  id: string; kernel: string; proven: boolean; elsewhere: number; forgiven: number; stopped: Reason | null; halted: Reason | null
  counts: Partial<Record<TargetState, number>> | null
}

/** Every build of the rollout, by kernel. Hosts elsewhere are counted only for builds that are not proven: there it is one at most. */
export async function loadBuilds(tx: Tx, rolloutId: string): Promise<BuildView[]> {
  const rows = await tx.$queryRaw<BuildRow[]>`
    SELECT b.id, b.kernel_release AS kernel, b.proven_at IS NOT NULL AS proven, rb.forgiven, rb.stopped, h.reason AS halted,
      CASE WHEN b.proven_at IS NULL THEN (SELECT count(*)::int FROM targets t WHERE t.build_id = b.id AND t.rollout_id <> rb.rollout_id AND ${onTheWay}) ELSE 0 END AS elsewhere,
      (SELECT jsonb_object_agg(s.state, s.n) FROM (
        SELECT c.state, sum(c.n) AS n FROM wave_counts c JOIN waves w ON w.id = c.wave_id
        WHERE w.rollout_id = rb.rollout_id AND c.build_id = b.id GROUP BY c.state HAVING sum(c.n) > 0) s) AS counts
    FROM rollout_builds rb JOIN builds b ON b.id = rb.build_id LEFT JOIN halts h ON h.sha256 = b.sha256 AND h.released_at IS NULL
    WHERE rb.rollout_id = ${rolloutId}::uuid ORDER BY b.kernel_release, b.id`
  return rows.map((row) => ({ ...row, counts: row.counts ?? {} }))
}
