// What a strategy's schedule comes to at one moment, as the planner is told it.
import type { Schedule as StoredSchedule, WindowState } from '@uptide/rollout'
import { stateAt } from './state.js'
import { DAY, type Schedule } from './schedule.js'

/** @param now milliseconds since the epoch. A schedule that cannot be worked out is closed, and says why. */
export function windowOf(schedule: StoredSchedule, now: number): WindowState {
  try {
    const { open, changesAt, because } = stateAt(schedule as Schedule, now)
    return { open, changesAt, says: because }
  } catch (error) {
    return { open: false, changesAt: null, says: `Its schedule cannot be worked out: ${error instanceof Error ? error.message.replace(/\.?$/, '.') : 'unknown.'}` }
  }
}

/**
 * The last answer for each rollout, until it changes: a calendar of 500 recurring events takes half a second to work out,
 * and a busy rollout is planned several times a second. A schedule is never changed once its rollout may start (the
 * database refuses it).
 */
export class WindowBook {
  private readonly known = new Map<string, { readonly at: number; readonly state: WindowState }>()

  stateOf(rolloutId: string, schedule: StoredSchedule, now: number): WindowState {
    const last = this.known.get(rolloutId)
    if (last && last.at <= now && now < (last.state.changesAt ?? last.at + DAY)) return last.state
    const state = windowOf(schedule, now)
    if (this.known.size >= rolloutsMax) this.known.clear()
    this.known.set(rolloutId, { at: now, state })
    return state
  }
}
const rolloutsMax = 1_000

/** A place in a schedule as the API names places: windows.0.timeZone. */
export const placeOf = (path: string): string => path.replaceAll(/\[(\d+)\]/g, '.$1')
