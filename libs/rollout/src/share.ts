// How rollouts share what the whole installation allows in flight: by priority, and by weight among equals.

export interface Sharer {
  readonly id: string
  readonly priority: number
  /** Among rollouts of one priority: with 3 it gets three places where another with 1 gets one. */
  readonly weight: number
  readonly inFlight: number
  /** Places it could use now, those in flight included. */
  readonly wants: number
}

/** Shares `left` places among equals by weight; what one does not want goes to the others. Whole places, in the order of ids. */
function fill(left: number, sharers: readonly Sharer[]): Map<string, number> {
  const given = new Map(sharers.map((one) => [one.id, 0]))
  let rest = left
  for (let open = sharers.filter((one) => one.wants > 0); open.length > 0 && rest > 0;) {
    const weights = open.reduce((sum, one) => sum + one.weight, 0)
    const round = rest
    for (const one of open) {
      const had = given.get(one.id) ?? 0
      const more = Math.min(one.wants - had, Math.max(1, Math.floor((round * one.weight) / weights)), rest)
      given.set(one.id, had + more)
      rest -= more
    }
    open = open.filter((one) => (given.get(one.id) ?? 0) < one.wants)
  }
  return given
}

/**
 * How many hosts of rollout `id` may be in flight under an installation's limit of `max`. A higher priority takes what it
 * wants first; what hosts of others hold now is theirs until they settle, whatever their rank.
 */
export function roomOf(max: number, id: string, sharers: readonly Sharer[]): number {
  const heldByOthers = sharers.reduce((sum, one) => sum + (one.id === id ? 0 : one.inFlight), 0)
  let left = max
  const priorities = [...new Set(sharers.map((one) => one.priority))].sort((a, b) => b - a)
  for (const priority of priorities) {
    const class_ = sharers.filter((one) => one.priority === priority).sort((a, b) => (a.id < b.id ? -1 : 1))
    const given = fill(left, class_)
    const mine = given.get(id)
    if (mine !== undefined) return Math.max(0, Math.min(mine, max - heldByOthers))
    for (const places of given.values()) left -= places
  }
  return 0
}
