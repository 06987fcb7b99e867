import { clip, merge } from './intervals.js';
import { readRule, ruleLocals } from './rrule.js';
import { DAY, LIMITS, ScheduleError, type Blackout, type Calendar, type CalendarEntry, type CalendarSpan, type Interval } from './schedule.js';
import { storedCalendar } from './stored-calendar.js';
import { ianaZone, readLocal, tableZone, writeLocal, type Zone } from './zone.js';

/** Wider than any shift of a clock, so that no entry is missed between local and real time. */
const MARGIN = 2 * DAY;

/** The merged intervals within [from, until) in which the blackout forbids starts. Throws ScheduleError past the bounds. */
export function blackoutIntervals(blackout: Blackout, from: number, until: number): Interval[] {
  const fixed = blackout.intervals ?? [];
  const calendar = blackout.calendar === undefined ? [] : calendarIntervals(storedCalendar(blackout.calendar), from, until);
  return merge(clip([...fixed, ...calendar], from, until));
}

/** The merged times within [from, until) that the events of an imported calendar cover. */
export function calendarIntervals(calendar: Calendar, from: number, until: number): Interval[] {
  if (!(from < until)) return [];
  const zones = new Map<string, Zone>();
  const found: Interval[] = [];
  let left: number = LIMITS.calendarOccurrences;
  for (const entry of calendar.blackouts) {
    const zone = zones.get(entry.timeZone) ?? zoneOf(entry.timeZone, calendar);
    zones.set(entry.timeZone, zone);
    for (const span of spans(entry, zone, from, until)) {
      left -= 1;
      if (left < 0) throw new ScheduleError(`the calendar has more than ${LIMITS.calendarOccurrences} occurrences in the asked span`);
      found.push(realSpan(span, zone));
    }
  }
  return merge(clip(found, from, until));
}

function zoneOf(name: string, calendar: Calendar): Zone {
  const own = calendar.zones.find((table) => table.tzid === name);
  try {
    return own === undefined ? ianaZone(name) : tableZone(own);
  } catch (error) {
    throw new ScheduleError((error as Error).message, { cause: error });
  }
}

/** Every occurrence of the entry that may touch [from, until): DTSTART and RRULE, with RDATE, without EXDATE. */
function spans(entry: CalendarEntry, zone: Zone, from: number, until: number): CalendarSpan[] {
  // An occurrence that began before `from` still counts for as long as it lasts.
  const lower = zone.toLocal(from) - MARGIN - entry.days * DAY - entry.ms;
  const upper = zone.toLocal(until) + MARGIN;
  const except = new Set(entry.except);
  const kept = (start: string): boolean => !except.has(start) && !except.has(start.slice(0, 10));
  // A rule that leaves DTSTART out is undefined in RFC 5545 (section 3.8.5.3); as a blackout it is safer to count it.
  const all: CalendarSpan[] = [entry, ...entry.extra];
  if (entry.rule !== undefined) {
    for (const local of ruleStarts(entry, entry.rule, zone, { lower, upper })) {
      const start = writeLocal(local);
      if (start !== entry.start) all.push({ start, days: entry.days, ms: entry.ms });
    }
  }
  return all.filter(({ start, days, ms }) => {
    const local = readLocal(start);
    return local !== null && local < upper && local + days * DAY + ms + MARGIN >= zone.toLocal(from) && kept(start);
  });
}

function ruleStarts(entry: CalendarEntry, text: string, zone: Zone, bounds: { lower: number; upper: number }): number[] {
  const rule = readRule(text);
  const start = readLocal(entry.start);
  if (typeof rule === 'string' || start === null) throw new ScheduleError(`the calendar entry of line ${entry.line} cannot be read`);
  // The length was already taken off, so an UTC end this far back spares the expansion.
  if (rule.untilInstant < bounds.lower - MARGIN) return [];
  return ruleLocals(rule, start, bounds.lower, bounds.upper)
    .filter((local) => rule.untilInstant === Infinity || zone.toInstant(local, 'shift') <= rule.untilInstant);
}

/** RFC 5545 section 3.3.6: days by the calendar, then the rest as elapsed time. */
function realSpan(span: CalendarSpan, zone: Zone): Interval {
  const local = readLocal(span.start)!;
  return { from: zone.toInstant(local, 'shift'), until: zone.toInstant(local + span.days * DAY, 'shift') + span.ms };
}
