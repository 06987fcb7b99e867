import { blackoutIntervals } from './blackouts.js';
import { occurrences, type Occurrence } from './open.js';
import { clip, merge, subtract } from './intervals.js';
import type { Interval, Schedule } from './schedule.js';
import { title } from './starts.js';

/** What takes time away from an occurrence, and when. */
export interface Taken extends Interval { readonly by: string }

/** One coming occurrence, what is taken away from it, and what is left of it for starting hosts. */
export interface Preview extends Occurrence {
  /** Index into `schedule.windows`. */
  readonly window: number;
  readonly title: string;
  readonly taken: readonly Taken[];
  readonly open: readonly Interval[];
}

/**
 * The next `count` occurrences of all windows, a running one included, sorted by start. Empty for a schedule without
 * windows. Throws ScheduleError like openIntervals.
 */
export function preview(schedule: Schedule, now: number, count = 10): Preview[] {
  return schedule.windows
    .flatMap((window, index) => occurrences(window, now, count).map((one) => ({ ...one, window: index, title: title(window) })))
    .toSorted((a, b) => a.start - b.start || a.window - b.window)
    .slice(0, count)
    .map((one) => {
      const taken = takenFrom(schedule, one.start, one.cutoff);
      return { ...one, taken, open: subtract([{ from: one.start, until: one.cutoff }], merge(taken)) };
    });
}

function takenFrom(schedule: Schedule, from: number, until: number): Taken[] {
  const early = schedule.startAt === null ? [] : clip([{ from: -Infinity, until: schedule.startAt }], from, until);
  return [
    ...early.map((one) => ({ ...one, by: 'start-at' })),
    ...schedule.blackouts.flatMap((blackout) => blackoutIntervals(blackout, from, until).map((one) => ({ ...one, by: blackout.name }))),
  ];
}
