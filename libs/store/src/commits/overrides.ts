// Going on outside the windows: one person asks and says why, another confirms. Two people is the database's word as well.
import { type Database, write } from '../database.js'
import { newId } from '../ids.js'
import type { Principal } from '../port.js'

export type Overridden =
  | { readonly ok: true; /** Milliseconds since the epoch; null: a second person has to confirm. */ readonly until: number | null }
  | { readonly ok: false; readonly says: string }

/** The first call asks, the second, by somebody else, confirms what was asked. @param lastsMs how long it holds once it is confirmed. */
export async function overrideWindow(db: Database, rolloutId: string, says: string, lastsMs: number, principal: Principal): Promise<Overridden> {
  return write<Overridden>(db, principal, async ({ tx, emit, undo }) => {
    const [rollout] = await tx.$queryRaw<{ name: string; scheduled: boolean; state: string }[]>`
      SELECT name, state, strategy ? 'schedule' AS scheduled FROM rollouts WHERE id = ${rolloutId}::uuid FOR UPDATE`
    if (!rollout?.scheduled) return undo({ ok: false, says: 'It has no schedule, so there is nothing to override.' })
    if (!['scheduled', 'running', 'held'].includes(rollout.state)) return undo({ ok: false, says: `A rollout that is ${rollout.state} starts nothing any more.` })
    const [open] = await tx.$queryRaw<{ id: string; asked_by: string; says: string; stale: boolean }[]>`
      SELECT id, asked_by, says, asked_at < now() - interval '1 hour' AS stale FROM overrides WHERE rollout_id = ${rolloutId}::uuid AND confirmed_at IS NULL`
    if (open && !open.stale && open.asked_by === principal) return undo({ ok: false, says: 'You have asked for it already; somebody else has to confirm it.' })
    if (open && !open.stale) {
      const [done] = await tx.$queryRaw<{ until: Date }[]>`
        UPDATE overrides SET confirmed_by = ${principal}, confirmed_at = now(), until = now() + lasts_ms * interval '1 millisecond' WHERE id = ${open.id}::uuid RETURNING until`
      await tx.rollout.update({ where: { id: rolloutId }, data: { generation: { increment: 1 } } })
      emit({ kind: 'window.overridden', rolloutId, data: { rollout: rollout.name, askedBy: open.asked_by, until: done?.until.toISOString(), reason: { code: 'OVERRIDE', says: `${open.says} Confirmed: ${says}` } } })
      return { ok: true, until: done?.until.getTime() ?? null }
    }
    // Nobody confirmed it within the hour: it is asked anew.
    if (open) await tx.$executeRaw`DELETE FROM overrides WHERE id = ${open.id}::uuid`
    await tx.$executeRaw`INSERT INTO overrides (id, rollout_id, asked_by, says, lasts_ms) VALUES (${newId()}::uuid, ${rolloutId}::uuid, ${principal}, ${says}, ${lastsMs})`
    emit({ kind: 'window.override-asked', rolloutId, data: { rollout: rollout.name, lastsMs, reason: { code: 'OVERRIDE', says } } })
    return { ok: true, until: null }
  })
}
