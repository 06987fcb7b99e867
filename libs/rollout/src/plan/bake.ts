// When a patched host is asked again while it is watched.
import type { Strategy } from '../strategy.js'

/**
 * The next check after `after`: one of the strategy's moments, or the end of the bake. Milliseconds since the epoch.
 * @param bakeUntil the end of the bake; its beginning follows from the strategy.
 */
export function nextCheckAt({ bakeMs, checkAtMs = [] }: Pick<Strategy, 'bakeMs' | 'checkAtMs'>, bakeUntil: number, after: number): number {
  const began = bakeUntil - bakeMs
  return checkAtMs.map((at) => began + at).filter((at) => at > after && at < bakeUntil).reduce((least, at) => Math.min(least, at), bakeUntil)
}
