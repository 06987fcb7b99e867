// What a plan says of builds: stopped here, halted everywhere, proven; and the fleet-wide promise that one host goes first.
import { storable } from '@uptide/evidence'
import type { Decision, RolloutView, TargetView } from '@uptide/rollout'
import type { Tx, Writing } from '../database.js'
import { newId } from '../ids.js'
import { fleetLimitKey } from '../views/room.js'
import { onTheWay } from '../views/states.js'

type Of<K extends Decision['do']> = Extract<Decision, { do: K }>
type Known = ReadonlyMap<string, TargetView>

export async function stopBuilds({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'stop-build'>[]): Promise<void> {
  for (const one of decisions) {
    const reason = JSON.stringify(storable(one.reason))
    await tx.$executeRaw`UPDATE rollout_builds SET stopped = ${reason}::jsonb, stopped_at = now() WHERE rollout_id = ${view.id}::uuid AND build_id = ${one.buildId}::uuid`
    const build = view.builds.find((each) => each.id === one.buildId)
    emit({ kind: 'build.stopped', rolloutId: view.id, data: { buildId: one.buildId, kernel: build?.kernel, reason: one.reason } })
  }
}

/** One open halt for each artefact: a second rollout that meets the same harm finds it halted already. */
export async function haltArtefacts({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'halt-artefact'>[], known: Known): Promise<void> {
  for (const one of decisions) {
    const suspect = known.get(one.suspectId)
    const made = await tx.$queryRaw<{ id: string; sha256: string }[]>`
      INSERT INTO halts (id, sha256, build_id, rollout_id, target_id, host_name, reason)
      SELECT ${newId()}::uuid, b.sha256, b.id, ${view.id}::uuid, ${one.suspectId}::uuid, ${suspect?.hostName ?? ''}, ${JSON.stringify(storable(one.reason))}::jsonb
      FROM builds b WHERE b.id = ${one.buildId}::uuid ON CONFLICT (sha256) WHERE released_at IS NULL DO NOTHING RETURNING id, sha256`
    for (const row of made) {
      emit({
        kind: 'artefact.halted', rolloutId: view.id, hostId: suspect?.hostId, targetId: one.suspectId,
        data: { haltId: row.id, sha256: row.sha256, buildId: one.buildId, host: suspect?.hostName, reason: one.reason },
      })
    }
  }
}

/** The first success of a build opens it to the fleet. */
export async function prove({ tx, emit }: Writing, view: RolloutView, succeeded: readonly TargetView[]): Promise<void> {
  const fresh = new Set(view.builds.filter((build) => !build.proven).map((build) => build.id))
  const ids = [...new Set(succeeded.flatMap((target) => (target.buildId !== null && fresh.has(target.buildId) ? [target.buildId] : [])))]
  if (ids.length === 0) return
  const proven = await tx.$queryRaw<{ id: string; kernel: string }[]>`
    UPDATE builds SET proven_at = now() WHERE id = ANY(${ids}::uuid[]) AND proven_at IS NULL RETURNING id, kernel_release AS kernel`
  for (const build of proven) {
    const host = succeeded.find((target) => target.buildId === build.id)
    emit({ kind: 'build.proven', rolloutId: view.id, hostId: host?.hostId, targetId: host?.id, data: { buildId: build.id, kernel: build.kernel, host: host?.hostName } })
  }
}

/**
 * Drops starts that another rollout has overtaken since the view was taken: the artefact was halted, or a build that is
 * not proven has its first host elsewhere. The builds are locked, so that of two rollouts one sees the other's start.
 */
export async function mayStart(tx: Tx, view: RolloutView, decisions: readonly Of<'order-attempt'>[], known: Known): Promise<Of<'order-attempt'>[]> {
  const isStart = (one: Of<'order-attempt'>): TargetView | null => {
    const target = known.get(one.targetId)
    return target?.state === 'pending' && target.buildId !== null ? target : null
  }
  const ids = [...new Set(decisions.flatMap((one) => isStart(one)?.buildId ?? []))].sort()
  if (ids.length === 0) return [...decisions]
  const fresh = view.builds.filter((build) => !build.proven && ids.includes(build.id)).map((build) => build.id)
  if (fresh.length > 0) await tx.$queryRaw`SELECT 1 FROM builds WHERE id = ANY(${fresh}::uuid[]) ORDER BY id FOR NO KEY UPDATE`
  const refused = await tx.$queryRaw<{ id: string }[]>`
    SELECT b.id FROM builds b WHERE b.id = ANY(${ids}::uuid[]) AND (
      EXISTS (SELECT 1 FROM halts h WHERE h.sha256 = b.sha256 AND h.released_at IS NULL)
      OR (b.id = ANY(${fresh}::uuid[]) AND b.proven_at IS NULL AND EXISTS (SELECT 1 FROM targets t WHERE t.build_id = b.id AND t.rollout_id <> ${view.id}::uuid AND ${onTheWay})))`
  const closed = new Set(refused.map((row) => row.id))
  const open = decisions.filter((one) => !closed.has(isStart(one)?.buildId ?? ''))
  return besideOthers(tx, view, open, (one) => isStart(one))
}

/** Places that another rollout has taken since the view was made: under the installation's limit, and in a quorum. */
async function besideOthers(tx: Tx, view: RolloutView, decisions: readonly Of<'order-attempt'>[], startOf: (one: Of<'order-attempt'>) => TargetView | null): Promise<Of<'order-attempt'>[]> {
  const quorums = [...new Set(decisions.flatMap((one) => startOf(one)?.quorum ?? []))].sort()
  for (const quorum of quorums) await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`uptide quorum ${quorum}`}, 0))`
  const busy = quorums.length === 0 ? [] : await tx.$queryRaw<{ quorum: string }[]>`
    SELECT DISTINCT t.quorum FROM targets t WHERE t.quorum = ANY(${quorums}::text[]) AND t.rollout_id <> ${view.id}::uuid AND ${onTheWay}`
  const taken = new Set(busy.map((row) => row.quorum))
  const free = decisions.filter((one) => !taken.has(startOf(one)?.quorum ?? ''))
  if (view.room === null) return free
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended('uptide places', 0))`
  const limit = (await tx.setting.findUnique({ where: { key: fleetLimitKey } }))?.value
  if (typeof limit !== 'number') return free
  const [row] = await tx.$queryRaw<{ n: number }[]>`SELECT count(*)::int AS n FROM targets t WHERE ${onTheWay}`
  let places = limit - (row?.n ?? 0)
  return free.filter((one) => startOf(one) === null || places-- > 0)
}
