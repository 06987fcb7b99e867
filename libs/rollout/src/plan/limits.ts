// Separate limits for failed, stalled and lost hosts, beside the limit on all errors together.
import { countIn, wasAttempted } from '../builds.js'
import type { TargetState } from '../states.js'
import type { Limit, LimitKind, Strategy } from '../strategy.js'
import type { BuildView } from '../view.js'

/** Which states count against which limit. A lost host that is given up counts as failed from then on. */
const statesOf: Readonly<Record<LimitKind, readonly TargetState[]>> = {
  failed: ['failed', 'reverting', 'reverted'],
  stalled: ['stalled'],
  lost: ['lost'],
}

/** A percentage of a handful of hosts says nothing; with 20, one host is 5 %. */
export const minSampleDefault = 20

/** How many hosts of a kind are allowed when `attempted` hosts were; Infinity: no limit applies (yet). */
export function allowed(limit: Limit, attempted: number): number {
  const share = limit.percent === undefined || attempted < (limit.minSample ?? minSampleDefault) ? Infinity : Math.floor((limit.percent * attempted) / 100)
  return Math.min(limit.max ?? Infinity, share)
}

/** The first limit that is broken, in one sentence with its denominator; null: all are kept. Accepted hosts do not count as failed again. */
export function brokenLimit({ limits }: Strategy, builds: readonly BuildView[]): string | null {
  if (!limits) return null
  const sum = (pick: (state: TargetState) => boolean): number => builds.reduce((total, build) => total + countIn(build.counts, pick), 0)
  const attempted = sum(wasAttempted)
  const forgiven = builds.reduce((total, build) => total + build.forgiven, 0)
  for (const [kind, limit] of Object.entries(limits) as [LimitKind, Limit][]) {
    const found = Math.max(0, sum((state) => statesOf[kind].includes(state)) - (kind === 'failed' ? forgiven : 0))
    const most = allowed(limit, attempted)
    if (found <= most) continue
    return `${found} of ${attempted} attempted ${attempted === 1 ? 'host' : 'hosts'} ${found === 1 ? 'is' : 'are'} ${kind}; at most ${most} may be${limit.percent === undefined ? '' : ` (${limit.percent} %)`}.`
  }
  return null
}
