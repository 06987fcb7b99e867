import { blackoutIntervals } from './blackouts.js';
import { openIntervals, spans } from './open.js';
import { LIMITS, MINUTE, type Schedule } from './schedule.js';
import { title, windowStarts } from './starts.js';

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
  if (ending !== undefined) {
    return `${sentence(title(ending))} is past its cutoff: no new host starts in its last ${ending.cutoffMs / MINUTE} minutes.`;
  }
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
