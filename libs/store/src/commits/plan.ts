// Applies a plan: all of it in one transaction, in a few set-based statements, each guarded.
import { storable } from '@uptide/evidence'
import { type Decision, type Plan, type RolloutView, rolloutEnded, targetMeaning, type TargetView } from '@uptide/rollout'
import { type Database, type Tx, write, type Writing } from '../database.js'
import { newId } from '../ids.js'
import type { Principal } from '../port.js'
import { haltArtefacts, mayStart, prove, stopBuilds } from './builds.js'

type Of<K extends Decision['do']> = Extract<Decision, { do: K }>
const pick = <K extends Decision['do']>(plan: Plan, kind: K): Of<K>[] => plan.decisions.filter((one): one is Of<K> => one.do === kind)

export interface PlanCommitted { readonly committed: boolean; readonly toRing: string[]; readonly dropped: number }

const wakeAt = (plan: Plan): Date | null => (plan.wakeAt === null ? null : new Date(plan.wakeAt))

/** Applies `plan`, made of `view`; see ReconcileStore. */
export async function commitPlan(db: Database, view: RolloutView, plan: Plan, principal: Principal): Promise<PlanCommitted> {
  if (plan.decisions.length === 0) {
    await db.prisma.$executeRaw`UPDATE rollouts SET wake_at = ${wakeAt(plan)} WHERE id = ${view.id}::uuid AND generation = ${view.generation} AND wake_at IS DISTINCT FROM ${wakeAt(plan)}`
    return { committed: true, toRing: [], dropped: 0 }
  }
  return write<PlanCommitted>(db, principal, async (writing) => {
    const guarded = await writing.tx.rollout.updateMany({
      where: { id: view.id, generation: view.generation },
      data: { generation: { increment: 1 }, wakeAt: wakeAt(plan) },
    })
    if (guarded.count === 0) return writing.undo({ committed: false, toRing: [], dropped: 0 })
    const known = new Map([...view.active, ...view.candidates, ...view.revertible].map((target) => [target.id, target]))
    await lockTargets(writing.tx, plan)
    const abandoned = await abandon(writing, view, pick(plan, 'abandon-attempt'), known)
    const moved = await moveTargets(writing, view, plan, known)
    await stopBuilds(writing, view, pick(plan, 'stop-build'))
    await haltArtefacts(writing, view, pick(plan, 'halt-artefact'), known)
    const ordered = await order(writing, view, await mayStart(writing.tx, view, pick(plan, 'order-attempt'), known), known)
    ordered.dropped += pick(plan, 'order-attempt').length - ordered.asked
    await cancelPending(writing, view, pick(plan, 'cancel-pending'))
    await moveWaves(writing, view, pick(plan, 'move-wave'))
    await moveRollout(writing, view, pick(plan, 'move-rollout'))
    const again = pick(plan, 'ring-attempt').map((one) => one.attemptId)
    if (again.length > 0) await writing.tx.$executeRaw`UPDATE attempts SET rung_at = now() WHERE id = ANY(${again}::uuid[]) AND state = 'ordered'`
    return { committed: true, toRing: [...ordered.attemptIds, ...again], dropped: abandoned + moved + ordered.dropped }
  })
}

/** In the order in which group commits lock them: two writers then wait for each other in turn, never in a circle. */
async function lockTargets(tx: Tx, plan: Plan): Promise<void> {
  const ids = plan.decisions.flatMap((one) => ('targetId' in one ? [one.targetId] : []))
  if (ids.length > 0) await tx.$executeRaw`SELECT 1 FROM targets WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR NO KEY UPDATE`
}

async function abandon({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'abandon-attempt'>[], known: ReadonlyMap<string, TargetView>): Promise<number> {
  if (decisions.length === 0) return 0
  const ids = (state: 'ordered' | 'running'): string[] => decisions.filter((one) => known.get(one.targetId)?.attempt?.state === state).map((one) => one.attemptId)
  // Asked again here: a worker may have begun since the view was taken, or still hold its lease. One statement for each state,
  // since a row that changes under a statement is judged again by its own columns, but by the leases as they were.
  const gone = await tx.$queryRaw<{ id: string }[]>`
    UPDATE attempts a SET state = 'abandoned', ended_at = now() WHERE id = ANY(${ids('running')}::uuid[]) AND state = 'running'
    AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.host_id = a.host_id AND l.attempt_id = a.id AND l.expires_at > now()) RETURNING id`
  const notBegun = await tx.$queryRaw<{ id: string }[]>`
    UPDATE attempts SET state = 'abandoned', ended_at = now() WHERE id = ANY(${ids('ordered')}::uuid[]) AND state = 'ordered' RETURNING id`
  const done = new Set([...gone, ...notBegun].map((row) => row.id))
  await tx.$executeRaw`
    UPDATE targets SET attempt_open = false, attempt_used = true, generation = generation + 1
    WHERE id = ANY(${decisions.map((one) => one.targetId)}::uuid[]) AND attempt_id = ANY(${[...done]}::uuid[])`
  for (const one of decisions) {
    if (!done.has(one.attemptId)) continue
    const target = known.get(one.targetId)
    emit({
      kind: 'attempt.abandoned', rolloutId: view.id, hostId: target?.hostId, targetId: one.targetId,
      data: { host: target?.hostName, attemptId: one.attemptId, kind: target?.attempt?.kind, reason: one.reason },
    })
  }
  return decisions.length - done.size
}

async function moveTargets({ tx, emit }: Writing, view: RolloutView, plan: Plan, known: ReadonlyMap<string, TargetView>): Promise<number> {
  const wanted = plan.decisions.flatMap((one) => {
    if (one.do !== 'move-target' && one.do !== 'note-target') return []
    const target = known.get(one.targetId)
    if (!target) throw new Error(`the plan decides on target ${one.targetId}, which its view does not hold`)
    const to = one.do === 'move-target' ? one.to : target.state
    return [{ id: one.targetId, generation: target.generation, from: target.state, to, reason: one.reason, set: one.set ?? {}, settled: targetMeaning[to].settled, moves: to !== target.state }]
  })
  if (wanted.length === 0) return 0
  const done = new Set((await updateTargets(tx, wanted)).map((row) => row.id))
  await prove({ tx, emit } as Writing, view, wanted.flatMap((one) => (one.to === 'succeeded' && done.has(one.id) ? known.get(one.id) ?? [] : [])))
  for (const one of wanted) {
    const target = known.get(one.id)
    if (!done.has(one.id) || !one.moves || !target) continue
    emit({ kind: `target.${one.to}`, rolloutId: view.id, hostId: target.hostId, targetId: one.id, data: { host: target.hostName, from: one.from, to: one.to, reason: one.reason } })
  }
  return wanted.length - done.size
}

// `set` holds only what changes: a key that is absent leaves its column alone.
const updateTargets = (tx: Tx, rows: readonly object[]): Promise<{ id: string }[]> => tx.$queryRaw<{ id: string }[]>`
  UPDATE targets t SET state = x."to", reason = x.reason, generation = t.generation + 1,
    since = CASE WHEN x."to" <> t.state THEN now() ELSE t.since END,
    settled_at = CASE WHEN x.settled THEN coalesce(t.settled_at, now()) ELSE NULL END,
    not_before = CASE WHEN x."set" ? 'notBefore' THEN to_timestamp((x."set"->>'notBefore')::float8 / 1000) ELSE t.not_before END,
    bake_until = CASE WHEN x."set" ? 'bakeUntil' THEN to_timestamp((x."set"->>'bakeUntil')::float8 / 1000) ELSE t.bake_until END,
    tries = coalesce((x."set"->>'tries')::int, t.tries), looks = coalesce((x."set"->>'looks')::int, t.looks),
    touched = coalesce((x."set"->>'touched')::boolean, t.touched),
    stall = CASE WHEN x."set" ? 'stall' THEN nullif(x."set"->'stall', 'null'::jsonb) ELSE t.stall END,
    attempt_used = coalesce((x."set"->>'attemptUsed')::boolean, t.attempt_used)
  FROM jsonb_to_recordset(${JSON.stringify(storable(rows))}::jsonb) AS x(id uuid, generation int, "from" text, "to" text, reason jsonb, "set" jsonb, settled boolean)
  WHERE t.id = x.id AND t.generation = x.generation AND t.state = x."from" AND NOT t.attempt_open RETURNING t.id`

async function order({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'order-attempt'>[], known: ReadonlyMap<string, TargetView>): Promise<{ attemptIds: string[]; dropped: number; asked: number }> {
  if (decisions.length === 0) return { attemptIds: [], dropped: 0, asked: 0 }
  const rows = decisions.map((one) => ({ id: newId(), targetId: one.targetId, generation: known.get(one.targetId)?.generation ?? -1, kind: one.kind, set: one.set ?? {}, reason: one.reason }))
  // The unique index on open attempts has the last word: a host that is busy drops out here. The clock is asked behind the
  // locks: by the transaction's own time an attempt could seem to begin before the one it waited for had ended.
  const made = await tx.$queryRaw<{ id: string; target_id: string; number: number }[]>`
    INSERT INTO attempts (id, target_id, host_id, kind, number, ordered_at)
    SELECT x.id, t.id, t.host_id, x.kind, 1 + (SELECT count(*) FROM attempts o WHERE o.target_id = t.id), clock_timestamp()
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x(id uuid, "targetId" uuid, generation int, kind text) JOIN targets t ON t.id = x."targetId"
    WHERE t.generation = x.generation AND NOT t.attempt_open
    ON CONFLICT (host_id) WHERE state IN ('ordered', 'running') DO NOTHING RETURNING id, target_id, number`
  const byTarget = new Map(rows.map((row) => [row.targetId, row]))
  const marks = made.map((row) => ({ targetId: row.target_id, attemptId: row.id, set: byTarget.get(row.target_id)?.set ?? {} }))
  await tx.$executeRaw`
    UPDATE targets t SET attempt_id = x."attemptId", attempt_open = true, attempt_used = true, generation = t.generation + 1,
      tries = coalesce((x."set"->>'tries')::int, t.tries),
      not_before = CASE WHEN x."set" ? 'notBefore' THEN to_timestamp((x."set"->>'notBefore')::float8 / 1000) ELSE t.not_before END,
      stall = CASE WHEN x."set" ? 'stall' THEN nullif(x."set"->'stall', 'null'::jsonb) ELSE t.stall END
    FROM jsonb_to_recordset(${JSON.stringify(marks)}::jsonb) AS x("targetId" uuid, "attemptId" uuid, "set" jsonb) WHERE t.id = x."targetId"`
  for (const row of made) {
    const target = known.get(row.target_id); const asked = byTarget.get(row.target_id)
    emit({ kind: 'attempt.ordered', rolloutId: view.id, hostId: target?.hostId, targetId: row.target_id, data: { host: target?.hostName, attemptId: row.id, kind: asked?.kind, number: row.number, reason: asked?.reason } })
  }
  return { attemptIds: made.map((row) => row.id), dropped: rows.length - made.length, asked: rows.length }
}

async function cancelPending({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'cancel-pending'>[]): Promise<void> {
  for (const one of decisions) {
    const count = await tx.$executeRaw`
      UPDATE targets SET state = 'cancelled', reason = ${JSON.stringify(storable(one.reason))}::jsonb, generation = generation + 1, since = now(), settled_at = now()
      WHERE rollout_id = ${view.id}::uuid AND state = 'pending' AND NOT attempt_open`
    if (count > 0) emit({ kind: 'rollout.pending-cancelled', rolloutId: view.id, data: { targets: count, reason: one.reason } })
  }
}

async function moveWaves({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'move-wave'>[]): Promise<void> {
  for (const one of decisions) {
    const wave = view.waves.find((row) => row.id === one.waveId)
    await tx.wave.update({ where: { id: one.waveId }, data: { state: one.to } })
    emit({ kind: `wave.${one.to}`, rolloutId: view.id, data: { wave: wave?.index, canary: wave?.canary, from: wave?.state, to: one.to, reason: one.reason } })
  }
}

async function moveRollout({ tx, emit }: Writing, view: RolloutView, decisions: readonly Of<'move-rollout'>[]): Promise<void> {
  for (const one of decisions) {
    const ended = rolloutEnded.has(one.to)
    await tx.$executeRaw`
      UPDATE rollouts SET state = ${one.to}, reason = ${JSON.stringify(storable(one.reason))}::jsonb,
        started_at = CASE WHEN ${one.to === 'running'} THEN coalesce(started_at, now()) ELSE started_at END, ended_at = CASE WHEN ${ended} THEN now() END
      WHERE id = ${view.id}::uuid`
    emit({ kind: `rollout.${one.to}`, rolloutId: view.id, data: { from: view.state, to: one.to, reason: one.reason } })
  }
}
