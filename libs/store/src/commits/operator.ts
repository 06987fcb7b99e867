// What an operator does to a rollout: acts guarded by state, each with its event.
import { canonicalJson, storable } from '@uptide/evidence'
import { type RolloutAct, rolloutActs, type RolloutState, type Strategy, targetMeaning, type TargetState, whyNot } from '@uptide/rollout'
import { type Database, isUniqueViolation, sha256, type Tx, write } from '../database.js'
import { newId } from '../ids.js'
import type { Principal } from '../port.js'

export interface NewRollout {
  readonly name: string
  readonly patchId: string
  readonly strategy: Strategy
  /** The plan as it was shown: waves with their reasons, skipped hosts, hash. */
  readonly plan: object
  readonly start: boolean
  readonly waves: readonly { readonly canary: boolean; readonly targets: readonly { readonly hostId: string; readonly hostName: string; readonly buildId: string; readonly groups?: readonly string[]; readonly quorum?: string | null }[] }[]
  readonly skipped: readonly { readonly hostId: string; readonly hostName: string; readonly reason: { readonly code: string; readonly says: string } }[]
}

/** The log names the plan by its hash: with 100,000 hosts it is 10 MB, and it stands with the rollout. */
const sha256Hex = (text: string): string => Buffer.from(sha256(Buffer.from(text))).toString('hex')

/** Rows of one statement: 100,000 targets go in 20 of them. */
const rowsAtOnce = 5_000

/** @returns the new rollout's id, or why there is none. */
export async function createRollout(db: Database, made: NewRollout, principal: Principal): Promise<{ ok: true; id: string } | { ok: false; code: 'NAME_TAKEN' }> {
  const id = newId()
  try {
    return await write(db, principal, async ({ tx, emit }) => {
      await tx.rollout.create({ data: { id, name: made.name, kind: 'patch', patchId: made.patchId, strategy: made.strategy as object, plan: storable(made.plan), planSha256: sha256Hex(canonicalJson(storable(made.plan))), state: made.start ? (made.strategy.approvals ? 'awaiting-approval' : 'scheduled') : 'draft', createdBy: principal } })
      const waves = made.waves.map((wave, index) => ({ id: newId(), index, ...wave }))
      await tx.wave.createMany({ data: waves.map((wave) => ({ id: wave.id, rolloutId: id, index: wave.index, canary: wave.canary, hosts: wave.targets.length })) })
      const rows = [
        ...waves.flatMap((wave) => wave.targets.map((target) => ({ waveId: wave.id as string | null, hostId: target.hostId, hostName: target.hostName, buildId: target.buildId as string | null, state: 'pending', reason: null as object | null, groups: target.groups ?? [], quorum: target.quorum ?? null }))),
        ...made.skipped.map((host) => ({ waveId: null, hostId: host.hostId, hostName: host.hostName, buildId: null, state: 'skipped', reason: host.reason as object, groups: [], quorum: null })),
      ]
      for (let from = 0; from < rows.length; from += rowsAtOnce) {
        const slice = rows.slice(from, from + rowsAtOnce).map((row) => ({ ...row, id: newId() }))
        await tx.$executeRaw`
          INSERT INTO targets (id, rollout_id, wave_id, host_id, host_name, build_id, state, reason, settled_at, groups, quorum)
          SELECT x.id, ${id}::uuid, x."waveId", x."hostId", x."hostName", x."buildId", x.state, nullif(x.reason, 'null'::jsonb), CASE WHEN x.state = 'skipped' THEN now() END, coalesce(x.groups, '{}'), x.quorum
          FROM jsonb_to_recordset(${JSON.stringify(slice)}::jsonb) AS x(id uuid, "waveId" uuid, "hostId" uuid, "hostName" text, "buildId" uuid, state text, reason jsonb, groups text[], quorum text)`
      }
      await tx.$executeRaw`INSERT INTO rollout_builds (rollout_id, build_id) SELECT DISTINCT rollout_id, build_id FROM targets WHERE rollout_id = ${id}::uuid AND build_id IS NOT NULL`
      emit({ kind: 'rollout.created', rolloutId: id, data: { name: made.name, state: made.start ? (made.strategy.approvals ? 'awaiting-approval' : 'scheduled') : 'draft', hosts: rows.length - made.skipped.length, skipped: made.skipped.length, waves: made.waves.length, planSha256: sha256Hex(canonicalJson(storable(made.plan))), strategy: made.strategy } })
      return { ok: true as const, id }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { ok: false, code: 'NAME_TAKEN' }
    throw error
  }
}

/** All that went bad so far is accepted, build by build, and stopped builds go on. */
async function acceptErrors(tx: Tx, rolloutId: string): Promise<void> {
  const bad = Object.entries(targetMeaning).filter(([, meaning]) => meaning.counts === 'bad').map(([state]) => state)
  await tx.$executeRaw`
    UPDATE rollout_builds rb SET stopped = NULL, stopped_at = NULL, forgiven = coalesce((
      SELECT sum(c.n) FROM wave_counts c JOIN waves w ON w.id = c.wave_id
      WHERE w.rollout_id = rb.rollout_id AND c.build_id = rb.build_id AND c.state = ANY(${bad})), 0)
    WHERE rb.rollout_id = ${rolloutId}::uuid`
}

export type ActDone = { readonly ok: true } | { readonly ok: false; readonly says: string }

/** Carries out an act, if the rollout's state allows it now. Resuming accepts the errors so far. */
export async function actOnRollout(db: Database, rolloutId: string, act: RolloutAct, principal: Principal, says?: string): Promise<ActDone> {
  return write<ActDone>(db, principal, async ({ tx, emit, undo }) => {
    const [row] = await tx.$queryRaw<{ state: RolloutState; name: string; needs: boolean }[]>`SELECT state, name, uptide_approvals_needed(strategy) > 0 AS needs FROM rollouts WHERE id = ${rolloutId}::uuid FOR UPDATE`
    if (!row) return undo({ ok: false, says: 'There is no such rollout.' })
    const refusal = whyNot(act, row.state)
    if (refusal) return undo({ ok: false, says: refusal })
    const to = act !== 'start' ? rolloutActs[act].to : row.needs && row.state === 'draft' ? 'awaiting-approval' : 'scheduled'
    if (act === 'resume') await acceptErrors(tx, rolloutId)
    const reason = { code: `OPERATOR_${act.toUpperCase()}`, says: says ?? `${principal} asked to ${act}.` }
    if (to !== row.state) {
      await tx.rollout.update({
        where: { id: rolloutId },
        data: { state: to, reason: storable(reason), generation: { increment: 1 }, endedAt: to === 'cancelled' ? new Date() : null },
      })
    }
    emit({ kind: `rollout.${to}`, rolloutId, data: { rollout: row.name, from: row.state, to, act, reason } })
    return { ok: true }
  })
}

/** States of a target that can be taken back on one host alone. */
const revertibleStates = ['succeeded', 'failed', 'patched', 'baking', 'stalled', 'cancelled']

/**
 * Takes the patch back on some hosts of a rollout; the planner orders the attempts. The hosts do not count as errors.
 * @returns the hosts that cannot be taken back now, each with why; none were touched then.
 */
export async function revertHosts(db: Database, rolloutId: string, hosts: readonly string[], principal: Principal, says?: string): Promise<{ ok: true; reverted: number } | { ok: false; refused: { host: string; says: string }[] }> {
  return write<{ ok: true; reverted: number } | { ok: false; refused: { host: string; says: string }[] }>(db, principal, async ({ tx, emit, undo }) => {
    await tx.$queryRaw`SELECT 1 FROM rollouts WHERE id = ${rolloutId}::uuid FOR UPDATE`
    const rows = await tx.target.findMany({ where: { rolloutId, hostName: { in: [...hosts] } }, select: { id: true, hostId: true, hostName: true, state: true, attemptOpen: true, touched: true } })
    const byName = new Map(rows.map((row) => [row.hostName, row]))
    const refused = hosts.flatMap((host) => {
      const row = byName.get(host)
      if (!row) return [{ host, says: `${host} is not part of this rollout.` }]
      if (row.attemptOpen) return [{ host, says: `${host} has an attempt under way; ask again when it has ended, or revert the whole rollout.` }]
      return revertibleStates.includes(row.state) && row.touched ? [] : [{ host, says: `${host} is ${row.state}${row.touched ? '' : ' and holds nothing of this rollout'}.` }]
    })
    if (refused.length > 0) return undo({ ok: false, refused })
    // A host that was bad already is no new error.
    const fresh = rows.filter((row) => targetMeaning[row.state as TargetState].counts !== 'bad')
    const reason = { code: 'OPERATOR_REVERT', says: says ?? `${principal} asked to revert this host.` }
    await tx.target.updateMany({ where: { id: { in: rows.map((row) => row.id) } }, data: { state: 'reverting', reason, looks: 0, notBefore: null, settledAt: null, since: new Date(), generation: { increment: 1 } } })
    // A revert that a person asked for is no error of the rollout.
    await tx.rollout.update({ where: { id: rolloutId }, data: { generation: { increment: 1 } } })
    await tx.$executeRaw`
      UPDATE rollout_builds rb SET forgiven = forgiven + x.n FROM (
        SELECT build_id, count(*)::int AS n FROM targets WHERE id = ANY(${fresh.map((row) => row.id)}::uuid[]) AND build_id IS NOT NULL GROUP BY build_id) x
      WHERE rb.rollout_id = ${rolloutId}::uuid AND rb.build_id = x.build_id`
    for (const row of rows) emit({ kind: 'target.reverting', rolloutId, hostId: row.hostId, targetId: row.id, data: { host: row.hostName, from: row.state, to: 'reverting', reason } })
    return { ok: true, reverted: rows.length }
  })
}
