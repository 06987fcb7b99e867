import { blackoutIntervals } from './blackouts.js';
import { occurrences, openIntervals, spans, type Occurrence } from './expand.js';
import { clip, merge, subtract } from './intervals.js';
import { LIMITS, type Interval, type Schedule } from './schedule.js';
import { title, windowStarts } from './starts.js';

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

/** Whether a host may be started, when that changes next, and why. */
export interface State {
  readonly open: boolean;
  /** Null when it does not change within 400 days. */
  readonly changesAt: number | null;
  readonly because: string;
}

/** The state of the schedule at one moment. Throws ScheduleError like openIntervals. */
export function stateAt(schedule: Schedule, now: number): State {
  const open = openIntervals(schedule, now, now + 1).length > 0;
  return { open, changesAt: nextChange(schedule, now, open), because: open ? whyOpen(schedule, now) : whyClosed(schedule, now) };
}

function nextChange(schedule: Schedule, now: number, open: boolean): number | null {
  for (const { from, until } of spans(now, LIMITS.horizonMs)) {
    const first = openIntervals(schedule, from, until)[0];
    if (!open && first !== undefined) return first.from;
    if (open && (first === undefined || first.from > from)) return from;
    if (open && first!.until < until) return first!.until;
  }
  return null;
}

function whyOpen(schedule: Schedule, now: number): string {
  if (schedule.windows.length === 0) return 'The schedule has no windows, and nothing forbids starts now.';
  const inside = schedule.windows.filter((window) => startedAgo(window, now, window.durationMs - window.cutoffMs));
  return `Inside ${inside.map(title).join(' and ')}.`;
}

/** The first reason that holds, from the most to the least specific. */
function whyClosed(schedule: Schedule, now: number): string {
  if (schedule.startAt !== null && now < schedule.startAt) return `Nothing starts before ${stamp(schedule.startAt)}.`;
  const blackout = schedule.blackouts.find((one) => blackoutIntervals(one, now, now + 1).length > 0);
  if (blackout !== undefined) return `Blackout "${blackout.name}" forbids starts now.`;
  const ending = schedule.windows.find((window) => startedAgo(window, now, window.durationMs));
  if (ending !== undefined) return `${sentence(title(ending))} is past its cutoff: no new host starts in its last ${ending.cutoffMs / 60_000} minutes.`;
  return 'Outside every window.';
}

function startedAgo(window: Schedule['windows'][number], now: number, atMost: number): boolean {
  return windowStarts(window, now - atMost + 1, now + 1, 1).length > 0;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function stamp(moment: number): string {
  return new Date(moment).toISOString().replace('.000Z', 'Z');
}
