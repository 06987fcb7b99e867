// People approve or reject a plan. Who may, and how many it takes, is the database's word (migration 0004_approvals).
import { type Strategy, approvalExpiresMs } from '@uptide/rollout'
import { type Database, write } from '../database.js'
import { newId } from '../ids.js'
import type { Principal } from '../port.js'

export interface ApprovalAsk { readonly verdict: 'approved' | 'rejected'; readonly says: string; /** The plan that was looked at; absent: the one that stands. */ readonly planHash?: string }
export type Approved =
  | { readonly ok: true; readonly scheduled: boolean; readonly valid: number; readonly needed: number }
  | { readonly ok: false; readonly code: 'NOT_WAITING' | 'OWN_ROLLOUT' | 'PLAN_CHANGED' | 'APPROVED_ALREADY'; readonly says: string }

interface Row { state: string; created_by: string; name: string; plan_sha256: string; plan_hash: string | null; strategy: Strategy; mine: number }

/** Records one person's verdict. As many approvals as the strategy asks for schedule the rollout; one rejection cancels it. */
export async function approveRollout(db: Database, rolloutId: string, ask: ApprovalAsk, principal: Principal): Promise<Approved> {
  return write<Approved>(db, principal, async ({ tx, emit, undo }) => {
    const [row] = await tx.$queryRaw<Row[]>`
      SELECT state, created_by, name, plan_sha256, plan->>'planHash' AS plan_hash, strategy,
        (SELECT count(*)::int FROM approvals a WHERE a.rollout_id = r.id AND a.principal = ${principal} AND a.voided_at IS NULL AND a.expires_at > now()) AS mine
      FROM rollouts r WHERE id = ${rolloutId}::uuid FOR UPDATE`
    const no = (code: Extract<Approved, { ok: false }>['code'], says: string): Approved => undo({ ok: false, code, says })
    if (row?.state !== 'awaiting-approval') return no('NOT_WAITING', `A rollout that is ${row?.state ?? 'unknown'} waits for no approval.`)
    if (row.created_by === principal && ask.verdict === 'approved') return no('OWN_ROLLOUT', 'Nobody approves a rollout of their own; somebody else has to.')
    if (ask.planHash !== undefined && ask.planHash !== row.plan_hash) return no('PLAN_CHANGED', `The plan is ${row.plan_hash ?? '?'} and not ${ask.planHash}; look at it again.`)
    if (row.mine > 0) return no('APPROVED_ALREADY', 'You have spoken on this plan already; another person has to.')
    const says = { rollout: row.name, plan: row.plan_hash, reason: { code: ask.verdict === 'approved' ? 'APPROVED' : 'REJECTED', says: ask.says } }
    if (ask.verdict === 'rejected') {
      await tx.rollout.update({ where: { id: rolloutId }, data: { state: 'cancelled', reason: says.reason, generation: { increment: 1 }, endedAt: new Date() } })
      emit({ kind: 'rollout.rejected', rolloutId, data: says })
      return { ok: true, scheduled: false, valid: 0, needed: row.strategy.approvals?.needed ?? 0 }
    }
    // One that has expired makes room for a new one of the same person.
    await tx.$executeRaw`UPDATE approvals SET voided_at = now() WHERE rollout_id = ${rolloutId}::uuid AND principal = ${principal} AND voided_at IS NULL`
    const lasts = row.strategy.approvals?.expiresMs ?? approvalExpiresMs
    await tx.$executeRaw`
      INSERT INTO approvals (id, rollout_id, principal, verdict, plan_sha256, says, expires_at)
      VALUES (${newId()}::uuid, ${rolloutId}::uuid, ${principal}, 'approved', ${row.plan_sha256}, ${ask.says}, now() + ${lasts} * interval '1 millisecond')`
    emit({ kind: 'rollout.approved', rolloutId, data: says })
    const [count] = await tx.$queryRaw<{ valid: number }[]>`SELECT uptide_approvals_valid(${rolloutId}::uuid, ${row.created_by}, ${row.plan_sha256}) AS valid`
    const valid = count?.valid ?? 0
    const needed = row.strategy.approvals?.needed ?? 0
    if (valid >= needed) {
      const reason = { code: 'APPROVED', says: `${valid} ${valid === 1 ? 'person has' : 'people have'} approved it.` }
      await tx.rollout.update({ where: { id: rolloutId }, data: { state: 'scheduled', reason, generation: { increment: 1 } } })
      emit({ kind: 'rollout.scheduled', rolloutId, data: { from: 'awaiting-approval', to: 'scheduled', reason } })
    }
    return { ok: true, scheduled: valid >= needed, valid, needed }
  })
}
