// The installation's own pace: what an operator sets for all rollouts together.
import { Prisma } from '../generated/client.js'
import { type Database, write } from '../database.js'
import type { Principal } from '../port.js'
import { fleetLimitKey } from '../views/room.js'

/** @param max hosts in flight in the whole installation, at least 1; null: no limit. Hosts in flight already stay. */
export async function setFleetLimit(db: Database, max: number | null, principal: Principal): Promise<void> {
  await write(db, principal, async ({ tx, emit }) => {
    const value = max ?? Prisma.JsonNull
    await tx.setting.upsert({ where: { key: fleetLimitKey }, create: { key: fleetLimitKey, value }, update: { value } })
    emit({ kind: 'pacing.set', data: { inFlightMax: max } })
  })
}
