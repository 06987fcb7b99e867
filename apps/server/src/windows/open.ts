import { blackoutIntervals } from './blackouts.js';
import { clip, merge, subtract } from './intervals.js';
import { DAY, LIMITS, type Interval, type Schedule, type Window } from './schedule.js';
import { windowStarts } from './starts.js';

/** One occurrence of a window: hosts may be started from `start` until `cutoff`, and must be done by `end`. */
export interface Occurrence { readonly start: number; readonly end: number; readonly cutoff: number }

/**
 * The merged, sorted intervals within [from, until) in which a host may be started: all windows, each without its
 * cutoff, minus all blackouts, and not before `startAt`. Without any window everything is open.
 *
 * Throws ScheduleError when the schedule is malformed or needs more than the bounds of LIMITS; checkSchedule finds
 * these faults beforehand. A caller that gets the error treats the schedule as closed.
 */
export function openIntervals(schedule: Schedule, from: number, until: number): Interval[] {
  const first = Math.max(from, schedule.startAt ?? from);
  if (!(first < until)) return [];
  const base = schedule.windows.length === 0
    ? [{ from: first, until }]
    : merge(schedule.windows.flatMap((window) => windowIntervals(window, first, until)));
  if (base.length === 0 || schedule.blackouts.length === 0) return base;
  return subtract(base, merge(schedule.blackouts.flatMap((one) => blackoutIntervals(one, first, until))));
}

function windowIntervals(window: Window, from: number, until: number): Interval[] {
  const length = window.durationMs - window.cutoffMs;
  // A window that began before `from` is still open for the rest of its length.
  const starts = windowStarts(window, from - length, until);
  return clip(starts.map((start) => ({ from: start, until: start + length })), from, until);
}

/**
 * The next `count` occurrences of one window whose end lies after `after`: one that is running comes first.
 * Fewer, when the horizon (milliseconds; nine years) brings no more. Throws ScheduleError like openIntervals.
 */
export function occurrences(window: Window, after: number, count: number, horizon: number = LIMITS.occurrenceHorizonMs): Occurrence[] {
  const found: Occurrence[] = [];
  // Starts after `after - duration` have their end after `after`.
  const begin = after - window.durationMs + 1;
  for (const { from, until } of spans(begin, horizon)) {
    for (const start of windowStarts(window, from, until, count - found.length)) {
      const end = start + window.durationMs;
      found.push({ start, end, cutoff: end - window.cutoffMs });
    }
    if (found.length >= count) break;
  }
  return found;
}

/**
 * Consecutive spans that cover [from, from + horizon), each twice as long as the one before: what is near is cheap
 * to find, and what never comes costs a dozen expansions.
 */
export function* spans(from: number, horizon: number): Generator<Interval> {
  const end = from + horizon;
  let at = from;
  for (let length = 2 * DAY; at < end; length *= 2) {
    const until = Math.min(at + length, end);
    yield { from: at, until };
    at = until;
  }
}
