import { cronLocals } from './cron.js';
import { readRule, ruleLocals } from './rrule.js';
import { DAY, LIMITS, ScheduleError, type Recurrence, type Window } from './schedule.js';
import { ianaZone, readLocal, type Zone } from './zone.js';

/** No clock is further from its neighbours' days than this: Samoa skipped one whole day in December 2011. */
const MARGIN = 2 * DAY;

/**
 * The moments in [from, until) at which the window starts, in order, each once.
 *
 * A start is the first moment at which the local clock reads the scheduled time or later. So a time that the spring
 * change skips starts when the gap ends, and a time that the autumn change repeats starts once, at the first.
 * At most `limit` starts are answered if it is given; without it, more than LIMITS.starts throw ScheduleError.
 */
export function windowStarts(window: Window, from: number, until: number, limit = Infinity): number[] {
  if (!(from < until)) return [];
  const zone = zoneOf(window.timeZone);
  const starts: number[] = [];
  const lower = zone.toLocal(from) - MARGIN;
  for (const local of locals(window.recurrence, zone, lower, zone.toLocal(until) + MARGIN)) {
    const start = zone.toInstant(local, 'end');
    if (start >= until || starts.length >= limit) break;
    // Two local times inside the same gap start at the same moment: that is one start.
    if (start < from || start === starts.at(-1)) continue;
    if (starts.length >= LIMITS.starts) {
      throw new ScheduleError(`${title(window)} starts more than ${LIMITS.starts} times in the asked span`);
    }
    starts.push(start);
  }
  return starts;
}

/** How a window is called in sentences. */
export function title(window: Window): string {
  if (window.name) return `window "${window.name}"`;
  return window.recurrence.kind === 'cron' ? `window "${window.recurrence.expression}"` : `window "${window.recurrence.rule}"`;
}

function zoneOf(name: string): Zone {
  try {
    return ianaZone(name);
  } catch (error) {
    throw new ScheduleError((error as Error).message, { cause: error });
  }
}

function locals(recurrence: Recurrence, zone: Zone, from: number, until: number): Iterable<number> {
  if (recurrence.kind === 'cron') return cronLocals(recurrence.expression, from, until);
  const start = readLocal(recurrence.start);
  if (start === null) throw new ScheduleError(`"${recurrence.start.slice(0, 40)}" is not a local date-time such as 2026-01-03T22:00:00`);
  const rule = readRule(recurrence.rule);
  if (typeof rule === 'string') throw new ScheduleError(`the rule ${rule}`);
  return ruleLocals(rule, start, from, until)
    .filter((local) => rule.untilInstant === Infinity || zone.toInstant(local, 'end') <= rule.untilInstant);
}
