// A person lets a halted artefact start again.
import { type Database, write } from '../database.js'
import type { Principal } from '../port.js'

export type Released = { readonly ok: true } | { readonly ok: false; readonly why: 'unknown' | 'released' }

/** Releases a halt; who and why stay with it for good. The rollouts that carry the artefact find it free at their next look. */
export async function releaseHalt(db: Database, id: string, principal: Principal, says: string): Promise<Released> {
  return write<Released>(db, principal, async ({ tx, emit, undo }) => {
    const [row] = await tx.$queryRaw<{ sha256: string; rollout_id: string; host_name: string; released: boolean }[]>`
      SELECT sha256, rollout_id, host_name, released_at IS NOT NULL AS released FROM halts WHERE id = ${id}::uuid FOR UPDATE`
    if (!row) return undo({ ok: false, why: 'unknown' })
    if (row.released) return undo({ ok: false, why: 'released' })
    await tx.$executeRaw`UPDATE halts SET released_at = now(), released_by = ${principal}, released_says = ${says} WHERE id = ${id}::uuid`
    emit({ kind: 'artefact.released', rolloutId: row.rollout_id, data: { haltId: id, sha256: row.sha256, host: row.host_name, reason: { code: 'RELEASED', says } } })
    return { ok: true }
  })
}
