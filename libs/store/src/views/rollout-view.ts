// What the planner is shown. Reads what is in flight by partial indexes, and counts that a trigger keeps: never the fleet.
import { priorityDefault } from '@uptide/rollout'
import type { AttemptKind, AttemptState, BuildView, Outcome, RolloutView, Strategy, TargetState, TargetView, WaveState, WaveView } from '@uptide/rollout'
import type { Database, Tx } from '../database.js'
import { Prisma } from '../generated/client.js'
import { loadBuilds } from './builds.js'
import { nextTargets } from './candidates.js'
import { loadRoom } from './room.js'
import { active, onTheWayOf } from './states.js'

interface TargetRow {
  id: string; host_id: string; host_name: string; wave_id: string; build_id: string | null; state: TargetState; generation: number
  tries: number; since: Date; not_before: Date | null; touched: boolean; boot_id_before: string | null; bake_until: Date | null
  groups: string[]; quorum: string | null; quorum_busy: boolean; outranked: string | null
  stall: TargetView['stall']; looks: number; attempt_used: boolean; host_busy: boolean
  a_id: string | null; a_kind: AttemptKind; a_number: number; a_state: AttemptState; a_ordered: Date; a_rung: Date; a_outcome: Outcome | null; a_expired: boolean
}

const columns = Prisma.sql`t.id, t.host_id, t.host_name, t.wave_id, t.build_id, t.state, t.generation, t.tries, t.since, t.not_before, t.touched,
  t.boot_id_before, t.bake_until, t.stall, t.looks, t.attempt_used, t.groups, t.quorum,
  (t.state = 'pending' AND t.quorum IS NOT NULL AND EXISTS (
    SELECT 1 FROM targets q WHERE q.quorum = t.quorum AND q.rollout_id <> t.rollout_id AND q.host_id <> t.host_id AND ${onTheWayOf('q')})) AS quorum_busy,
  CASE WHEN t.state = 'pending' THEN (
    SELECT min(r.name) FROM targets p JOIN rollouts r ON r.id = p.rollout_id WHERE p.host_id = t.host_id AND p.id <> t.id AND p.state = 'pending' AND r.state = 'running'
    AND coalesce((r.strategy->>'priority')::int, ${priorityDefault}) > (SELECT coalesce((own.strategy->>'priority')::int, ${priorityDefault}) FROM rollouts own WHERE own.id = t.rollout_id)) END AS outranked,
  EXISTS (SELECT 1 FROM attempts o WHERE o.host_id = t.host_id AND o.state IN ('ordered', 'running') AND o.target_id <> t.id) AS host_busy,
  a.id AS a_id, a.kind AS a_kind, a.number AS a_number, a.state AS a_state, a.ordered_at AS a_ordered, a.rung_at AS a_rung, a.outcome AS a_outcome,
  coalesce(a.state = 'running' AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.host_id = t.host_id AND l.attempt_id = a.id AND l.expires_at > now()), false) AS a_expired
  FROM targets t LEFT JOIN attempts a ON a.id = t.attempt_id`

const ms = (at: Date | null): number | null => (at === null ? null : at.getTime())

const targetView = (row: TargetRow): TargetView => ({
  id: row.id, hostId: row.host_id, hostName: row.host_name, waveId: row.wave_id, buildId: row.build_id, state: row.state, generation: row.generation,
  tries: row.tries, since: row.since.getTime(), notBefore: ms(row.not_before), touched: row.touched, bootIdBefore: row.boot_id_before, bakeUntil: ms(row.bake_until),
  stall: row.stall, looks: row.looks, attemptUsed: row.attempt_used, hostBusy: row.host_busy, groups: row.groups, quorum: row.quorum, quorumBusy: row.quorum_busy, outrankedBy: row.outranked,
  attempt: row.a_id === null ? null : {
    id: row.a_id, kind: row.a_kind, number: row.a_number, state: row.a_state, orderedAt: row.a_ordered.getTime(), rungAt: row.a_rung.getTime(),
    leaseExpired: row.a_expired === true, outcome: row.a_outcome,
  },
})

async function loadWaves(tx: Tx, rolloutId: string, builds: readonly BuildView[]): Promise<WaveView[]> {
  const heldBack = builds.filter((build) => build.stopped || build.halted).map((build) => build.id)
  const rows = await tx.$queryRaw<{ id: string; index: number; canary: boolean; state: WaveState; hosts: number; counts: Partial<Record<TargetState, number>> | null; heldBack: number }[]>`
    SELECT w.id, w.index, w.canary, w.state, w.hosts,
      (SELECT jsonb_object_agg(s.state, s.n) FROM (SELECT state, sum(n) AS n FROM wave_counts c WHERE c.wave_id = w.id GROUP BY state HAVING sum(n) > 0) s) AS counts,
      ${heldBack.length === 0 ? Prisma.sql`0` : Prisma.sql`(SELECT count(*)::int FROM targets t WHERE t.wave_id = w.id AND t.build_id = ANY(${heldBack}::uuid[]) AND t.state = 'pending' AND NOT t.attempt_open)`} AS "heldBack"
    FROM waves w WHERE w.rollout_id = ${rolloutId}::uuid ORDER BY w.index`
  return rows.map((row) => ({ ...row, counts: row.counts ?? {} }))
}

/** The targets that are taken back: all, none (null), or those of failed waves and stopped builds. */
const revertibleOf = (state: string, strategy: Strategy, waves: readonly WaveView[], builds: readonly BuildView[]): Prisma.Sql | null => {
  if (state === 'reverting') return Prisma.sql`TRUE`
  if (strategy.onFailure !== 'revert-wave') return null
  const failed = waves.filter((wave) => wave.state === 'failed').map((wave) => wave.id)
  const stopped = builds.filter((build) => build.stopped).map((build) => build.id)
  return failed.length + stopped.length === 0 ? null : Prisma.sql`(t.wave_id = ANY(${failed}::uuid[]) OR t.build_id = ANY(${stopped}::uuid[]))`
}

/**
 * One consistent look at a rollout, or null when there is none.
 * @param asked targets that are shown as its candidates instead of those that are next: to ask what they wait on.
 */
export async function loadRolloutView(db: Database, rolloutId: string, asked?: readonly string[]): Promise<RolloutView | null> {
  return db.prisma.$transaction(async (tx) => {
    const rollout = await tx.rollout.findUnique({ where: { id: rolloutId }, select: { id: true, kind: true, state: true, generation: true, strategy: true, overrides: { where: { until: { not: null } }, orderBy: { until: 'desc' }, take: 1, select: { until: true } } } })
    if (!rollout) return null
    const strategy = rollout.strategy as unknown as Strategy
    const { overrides } = rollout
    const builds = await loadBuilds(tx, rolloutId)
    const waves = await loadWaves(tx, rolloutId, builds)
    const activeRows = await tx.$queryRaw<TargetRow[]>`SELECT ${columns} WHERE t.rollout_id = ${rolloutId}::uuid AND ${active} ORDER BY t.host_name`
    const next = asked ? [...asked] : await nextTargets(tx, waves, builds, activeRows, strategy)
    const candidates = next.length > 0 ? await tx.$queryRaw<TargetRow[]>`SELECT ${columns} WHERE t.id = ANY(${next}::uuid[]) AND t.rollout_id = ${rolloutId}::uuid AND t.state = 'pending' AND NOT t.attempt_open ORDER BY array_position(${next}::uuid[], t.id)` : []
    const from = revertibleOf(rollout.state, strategy, waves, builds)
    const revertible = from ? await tx.$queryRaw<TargetRow[]>`
      SELECT ${columns} WHERE t.rollout_id = ${rolloutId}::uuid AND t.touched AND t.state IN ('succeeded', 'failed', 'cancelled') AND t.attempt_used AND NOT t.attempt_open
      AND coalesce(t.reason->>'code', '') NOT IN ('REVERT_FAILED')
      AND ${from} ORDER BY t.host_name LIMIT ${strategy.inFlightMax}` : []
    const [stuck] = rollout.state === 'reverting' ? await tx.$queryRaw<{ n: number }[]>`
      SELECT count(*)::int AS n FROM targets WHERE rollout_id = ${rolloutId}::uuid AND touched AND state = 'failed' AND reason->>'code' = 'REVERT_FAILED'` : []
    const pendingAll = waves.reduce((sum, wave) => sum + (wave.counts.pending ?? 0), 0)
    return {
      id: rollout.id, kind: rollout.kind as 'patch' | 'revert', state: rollout.state as RolloutView['state'], generation: rollout.generation, strategy,
      waves, builds, active: activeRows.map(targetView), candidates: candidates.map(targetView), revertible: revertible.map(targetView), unreverted: stuck?.n ?? 0,
      room: await loadRoom(tx, rolloutId),
      // Recurrences are not the store's matter: reconcile works them out.
      window: null, overrideUntil: overrides[0]?.until?.getTime() ?? null,
      pending: pendingAll - activeRows.filter((row) => row.state === 'pending').length,
    }
  }, { isolationLevel: 'RepeatableRead' })
}

/** Rollouts that are not ended, or still have something in flight: what the timer looks at. */
export async function liveRollouts(db: Database): Promise<string[]> {
  const rows = await db.prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM rollouts WHERE state IN ('scheduled', 'running', 'held', 'reverting')
    UNION SELECT DISTINCT t.rollout_id FROM targets t WHERE ${active}`
  return rows.map((row) => row.id)
}

export async function databaseNow(db: Database): Promise<number> {
  const [row] = await db.prisma.$queryRaw<{ at: Date }[]>`SELECT clock_timestamp() AS at`
  return (row?.at ?? new Date(0)).getTime()
}
