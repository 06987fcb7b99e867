// The installation's limit on hosts in flight, and what other rollouts leave of it.
import { priorityDefault, roomOf, type Sharer } from '@uptide/rollout'
import type { Database, Tx } from '../database.js'
import { onTheWay } from './states.js'

export const fleetLimitKey = 'in-flight-max'

interface SharerRow { id: string; state: string; priority: number | null; weight: number | null; in_flight: number; pending: number; in_flight_max: number }

/** @returns null: the installation has no limit of its own. */
export async function loadRoom(tx: Tx, rolloutId: string): Promise<number | null> {
  const limit = (await tx.setting.findUnique({ where: { key: fleetLimitKey } }))?.value
  if (typeof limit !== 'number') return null
  const rows = await tx.$queryRaw<SharerRow[]>`
    SELECT r.id, r.state, (r.strategy->>'priority')::int AS priority, (r.strategy->>'weight')::int AS weight, (r.strategy->>'inFlightMax')::int AS in_flight_max,
      (SELECT count(*)::int FROM targets t WHERE t.rollout_id = r.id AND ${onTheWay}) AS in_flight,
      (SELECT coalesce(sum(c.n), 0)::int FROM wave_counts c JOIN waves w ON w.id = c.wave_id WHERE w.rollout_id = r.id AND c.state = 'pending') AS pending
    FROM rollouts r WHERE r.state IN ('scheduled', 'running', 'held', 'reverting') OR r.id IN (SELECT t.rollout_id FROM targets t WHERE ${onTheWay})`
  const sharers = rows.map((row): Sharer => ({
    // Hosts that go back are made safe: they come before every start.
    id: row.id, priority: row.state === 'reverting' ? 101 : (row.priority ?? priorityDefault), weight: row.weight ?? 1, inFlight: row.in_flight,
    wants: row.state === 'running' || row.state === 'scheduled' ? Math.min(row.in_flight_max, row.in_flight + row.pending) : row.state === 'reverting' ? row.in_flight_max : row.in_flight,
  }))
  return roomOf(limit, rolloutId, sharers)
}

/** The most hosts that may be in flight in the whole installation; null: no limit beside those of the rollouts. */
export async function fleetLimit(db: Database): Promise<number | null> {
  const value = (await db.prisma.setting.findUnique({ where: { key: fleetLimitKey } }))?.value
  return typeof value === 'number' ? value : null
}
