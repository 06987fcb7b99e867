import { calendarIntervals } from './blackouts.js';
import { cronFault } from './cron.js';
import { openIntervals, occurrences, spans } from './open.js';
import { readRule } from './rrule.js';
import { DAY, LIMITS, MINUTE, ScheduleError, type Blackout, type Fault, type Recurrence, type Schedule, type Window } from './schedule.js';
import { windowStarts } from './starts.js';
import { storedCalendar } from './stored-calendar.js';
import { isTimeZone, readLocal } from './zone.js';

/** Years 1970 to 2200: what lies outside is a mistaken unit (seconds, microseconds) rather than a plan. */
const LATEST = Date.UTC(2200, 0, 1);
/** A window that starts more often than hourly is not a window. Counted over one month from its next start. */
const DENSE = { span: 31 * DAY, starts: 31 * 24 };

/**
 * Everything wrong with a schedule, in the order of its parts; empty when it can be used. Never throws for data of
 * the declared types.
 */
export function checkSchedule(schedule: Schedule, now: number): Fault[] {
  const faults = [...startAtFaults(schedule, now)];
  if (schedule.windows.length > LIMITS.windows) {
    return [...faults, { path: 'windows', says: `There are ${schedule.windows.length} windows; at most ${LIMITS.windows} are allowed.` }];
  }
  if (schedule.blackouts.length > LIMITS.blackouts) {
    return [...faults, { path: 'blackouts', says: `There are ${schedule.blackouts.length} blackouts; at most ${LIMITS.blackouts} are allowed.` }];
  }
  faults.push(...schedule.blackouts.flatMap((one, index) => blackoutFaults(one, `blackouts[${index}]`, now)));
  const blackoutsUsable = faults.every((one) => !one.path.startsWith('blackouts'));
  for (const [index, window] of schedule.windows.entries()) {
    const path = `windows[${index}]`;
    const own = windowFaults(window, path);
    faults.push(...(own.length > 0 || !blackoutsUsable ? own : openingFaults(schedule, window, path, now)));
  }
  return faults;
}

function* startAtFaults(schedule: Schedule, now: number): Generator<Fault> {
  const { startAt } = schedule;
  if (startAt === null) return;
  const path = 'startAt';
  if (!Number.isSafeInteger(startAt) || startAt < 0 || startAt > LATEST) {
    yield { path, says: 'The start is not a moment from 1970 to 2200 in whole milliseconds since the epoch.' };
  } else if (startAt > now + LIMITS.horizonMs) {
    yield { path, says: 'The start is more than 400 days away; give a nearer one.' };
  }
}

function windowFaults(window: Window, path: string): Fault[] {
  const faults: Fault[] = [];
  if ((window.name ?? '').length > LIMITS.text) faults.push({ path: `${path}.name`, says: `The name is longer than ${LIMITS.text} characters.` });
  faults.push(...recurrenceFaults(window.recurrence, `${path}.recurrence`));
  if (!isTimeZone(window.timeZone)) {
    faults.push({ path: `${path}.timeZone`, says: `"${window.timeZone.slice(0, 60)}" is not an IANA time zone; write one such as Europe/Berlin.` });
  }
  const { durationMs, cutoffMs } = window;
  if (!Number.isSafeInteger(durationMs) || durationMs < MINUTE || durationMs > LIMITS.durationMs) {
    faults.push({ path: `${path}.durationMs`, says: 'The duration must be from one minute to 7 days, in whole milliseconds.' });
  }
  if (!Number.isSafeInteger(cutoffMs) || cutoffMs < 0) {
    faults.push({ path: `${path}.cutoffMs`, says: 'The cutoff must be zero or more, in whole milliseconds.' });
  } else if (durationMs > 0 && cutoffMs >= durationMs) {
    faults.push({ path: `${path}.cutoffMs`, says: 'The cutoff takes the whole window; make it shorter than the duration.' });
  }
  return faults;
}

function recurrenceFaults(recurrence: Recurrence, path: string): Fault[] {
  if (recurrence.kind === 'cron') {
    const says = cronFault(recurrence.expression);
    return says === null ? [] : [{ path: `${path}.expression`, says: `The cron expression ${says}.` }];
  }
  const faults: Fault[] = [];
  const start = readLocal(recurrence.start);
  if (start === null || start < 0 || start > LATEST || start % MINUTE !== 0) {
    const says = `"${recurrence.start.slice(0, 40)}" is not a local date-time of 1970 to 2200 in whole minutes without offset, such as 2026-01-03T22:00:00.`;
    faults.push({ path: `${path}.start`, says });
  }
  const rule = readRule(recurrence.rule);
  if (typeof rule === 'string') faults.push({ path: `${path}.rule`, says: `The rule ${rule}.` });
  return faults;
}

/** Too often, never within 400 days, or only ever inside a blackout or before the start. */
function openingFaults(schedule: Schedule, window: Window, path: string, now: number): Fault[] {
  try {
    const next = occurrences(window, now, 1, LIMITS.horizonMs)[0];
    if (next === undefined) return [{ path, says: 'The window does not open within the next 400 days.' }];
    const often = windowStarts(window, next.start, next.start + DENSE.span, DENSE.starts + 1).length;
    if (often > DENSE.starts) {
      return [{ path: `${path}.recurrence`, says: 'The window starts more often than once an hour; make it longer and rarer.' }];
    }
    const alone = { ...schedule, windows: [window] };
    for (const { from, until } of spans(now, LIMITS.horizonMs)) if (openIntervals(alone, from, until).length > 0) return [];
    return [{ path, says: 'Within the next 400 days the window opens only inside blackouts or before the start.' }];
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return [{ path: `${path}.recurrence`, says: `The window cannot be expanded: ${error.message}.` }];
  }
}

function blackoutFaults(blackout: Blackout, path: string, now: number): Fault[] {
  if (blackout.name.length > LIMITS.text) return [{ path: `${path}.name`, says: `The name is longer than ${LIMITS.text} characters.` }];
  const intervals = blackout.intervals ?? [];
  if (intervals.length > LIMITS.intervals) {
    return [{ path: `${path}.intervals`, says: `There are more than ${LIMITS.intervals} intervals.` }];
  }
  const bad = intervals.findIndex(({ from, until }) => !Number.isSafeInteger(from) || !Number.isSafeInteger(until) || from >= until);
  if (bad >= 0) {
    return [{ path: `${path}.intervals[${bad}]`, says: 'The interval must end after it begins, in whole milliseconds since the epoch.' }];
  }
  try {
    if (blackout.calendar !== undefined) calendarIntervals(storedCalendar(blackout.calendar), now, now + LIMITS.horizonMs);
    return [];
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return [{ path: `${path}.calendar`, says: `The calendar cannot be expanded: ${error.message}.` }];
  }
}
