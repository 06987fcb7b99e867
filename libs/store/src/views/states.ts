// Conditions on targets `t` that several questions share; each is the condition of a partial index, word for word.
import { Prisma } from '../generated/client.js'

const started = "('checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'reverting', 'lost')"

/** Started and not settled; `name`: what the table is called in the statement, a constant of this package. */
export const onTheWayOf = (name: 't' | 'q'): Prisma.Sql => Prisma.raw(`(${name}.attempt_open OR ${name}.state IN ${started})`)
export const onTheWay = onTheWayOf('t')

/** On its way, or with an outcome that no plan has taken into account. */
export const active = Prisma.raw(`(t.attempt_open OR NOT t.attempt_used OR t.state IN ${started})`)
