// What a strategy's schedule comes to at one moment, as the planner is told it.
import type { Schedule as StoredSchedule, WindowState } from '@uptide/rollout'
import { stateAt } from './state.js'
import type { Schedule } from './schedule.js'

/** @param now milliseconds since the epoch. A schedule that cannot be worked out is closed, and says why. */
export function windowOf(schedule: StoredSchedule, now: number): WindowState {
  try {
    const { open, changesAt, because } = stateAt(schedule as Schedule, now)
    return { open, changesAt, says: because }
  } catch (error) {
    return { open: false, changesAt: null, says: `Its schedule cannot be worked out: ${error instanceof Error ? error.message.replace(/\.?$/, '.') : 'unknown.'}` }
  }
}

/** A place in a schedule as the API names places: windows.0.timeZone. */
export const placeOf = (path: string): string => path.replaceAll(/\[(\d+)\]/g, '.$1')
