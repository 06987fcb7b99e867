// Conditions on targets `t` that several questions share; each is the condition of a partial index, word for word.
import { Prisma } from '../generated/client.js'

/** Started and not settled. */
export const onTheWay = Prisma.sql`(t.attempt_open OR t.state IN ('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost'))`

/** On its way, or with an outcome that no plan has taken into account. */
export const active = Prisma.sql`(t.attempt_open OR NOT t.attempt_used OR t.state IN ('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost'))`
