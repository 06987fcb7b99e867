import { CALENDAR_LIMITS, CalendarError, type Block, type Line } from './icalendar-lines.js';
import {
  only, rawValue, readDuration, readMoment, readProperty, textOf, type FindZone, type Moment, type Property,
} from './icalendar-values.js';
import { readRule, withoutCount } from './rrule.js';
import { DAY, type CalendarEntry, type CalendarSpan } from './schedule.js';
import { writeLocal } from './zone.js';

/** An entry and the clock it is written for. */
export interface Event { readonly entry: CalendarEntry; readonly zone: Moment['zone'] }

/** What one pass over the file shares: its clocks and its counters. */
export interface Reading { readonly findZone: FindZone; dates: number; recurring: number; counted: number }

const EARLIEST = Date.UTC(1900, 0, 1);

/** One VEVENT as data. Throws CalendarError with the line of the property that is wrong. */
export function readEvent(block: Block, reading: Reading): Event {
  const line = only(block, 'DTSTART');
  if (line === undefined) {
    throw new CalendarError(block.number, 'The event has no DTSTART, so nobody knows when it begins. Give it a start or remove it.');
  }
  const property = readProperty(line);
  const start = readMoment(property, property.values[0], reading.findZone);
  if (start.local < EARLIEST) throw new CalendarError(line.number, 'The event begins before 1900. Correct its DTSTART.');
  const { days, ms } = readLength(block, start, reading);
  const rule = readRecurrence(block, start.local, reading);
  const entry: CalendarEntry = {
    uid: textOf(block, 'UID', CALENDAR_LIMITS.text) || `line ${block.number}`,
    summary: textOf(block, 'SUMMARY', CALENDAR_LIMITS.text),
    line: block.number,
    timeZone: start.zoneName,
    start: writeLocal(start.local), days, ms,
    ...(rule === undefined ? {} : { rule }),
    extra: [...values(block, 'RDATE', reading)].map((one) => readExtra(one, start, { days, ms }, reading)),
    except: [...values(block, 'EXDATE', reading)].map(({ property: own, value }) =>
      localText(readMoment(own, value, reading.findZone), start.zoneName, start.zone)),
  };
  return { entry, zone: start.zone };
}

function readRecurrence(block: Block, start: number, reading: Reading): string | undefined {
  const old = block.lines.find((one) => one.name === 'EXRULE');
  if (old !== undefined) {
    throw new CalendarError(old.number, 'EXRULE is not supported (RFC 5545 removed it). List the excluded dates as EXDATE.');
  }
  const line = only(block, 'RRULE');
  if (line === undefined) return undefined;
  reading.recurring += 1;
  if (reading.recurring > CALENDAR_LIMITS.recurring) {
    throw new CalendarError(line.number, `There are more than ${CALENDAR_LIMITS.recurring} recurring events. Split the calendar.`);
  }
  const text = rawValue(line).toUpperCase();
  const rule = readRule(text);
  if (typeof rule === 'string') throw new CalendarError(line.number, `The RRULE ${rule}. Correct the rule.`);
  if (!rule.text.includes('COUNT=')) return text;
  reading.counted += 1;
  if (reading.counted > CALENDAR_LIMITS.counted) {
    throw new CalendarError(line.number, `There are more than ${CALENDAR_LIMITS.counted} events with a COUNT. Use UNTIL instead.`);
  }
  try {
    return withoutCount(rule, start);
  } catch (error) {
    throw new CalendarError(line.number, `The RRULE takes too long to count: ${(error as Error).message}. Use UNTIL instead.`);
  }
}

/**
 * RFC 5545 sections 3.6.1 and 3.8.5.3: DTEND gives the exact length for all occurrences, DURATION a nominal one.
 * A whole-day event without either lasts one day.
 */
function readLength(block: Block, start: Moment, reading: Reading): { days: number; ms: number } {
  const endLine = only(block, 'DTEND');
  const durationLine = only(block, 'DURATION');
  if (endLine !== undefined && durationLine !== undefined) {
    throw new CalendarError(durationLine.number, 'The event has both DTEND and DURATION. Keep one.');
  }
  if (durationLine !== undefined) return bounded(readDuration(rawValue(durationLine), durationLine), durationLine);
  if (endLine === undefined) return { days: start.isDate ? 1 : 0, ms: 0 };
  const property = readProperty(endLine);
  const end = readMoment(property, property.values[0], reading.findZone);
  if (end.isDate !== start.isDate) {
    throw new CalendarError(endLine.number, 'DTSTART and DTEND must both be dates or both be times. Correct one of them.');
  }
  return between(start, end, endLine);
}

/** The end of a whole-day event is exclusive; programs that write the same date for both mean that one day. */
function between(start: Moment, end: Moment, line: Line): { days: number; ms: number } {
  const ms = start.isDate ? end.local - start.local : end.zone.toInstant(end.local, 'shift') - start.zone.toInstant(start.local, 'shift');
  if (ms < 0) throw new CalendarError(line.number, `${line.name} lies before the start. Correct one of them.`);
  return bounded(start.isDate ? { days: Math.max(ms / DAY, 1), ms: 0 } : { days: 0, ms }, line);
}

function bounded(length: { days: number; ms: number }, line: Line): { days: number; ms: number } {
  if (length.days * DAY + length.ms <= CALENDAR_LIMITS.days * DAY) return length;
  throw new CalendarError(line.number, `The event lasts more than ${CALENDAR_LIMITS.days} days. Split it.`);
}

function* values(block: Block, name: string, reading: Reading): Generator<{ property: Property; value: unknown }> {
  for (const line of block.lines.filter((one) => one.name === name)) {
    const property = readProperty(line);
    reading.dates += property.values.length;
    if (reading.dates > CALENDAR_LIMITS.dates) {
      throw new CalendarError(line.number, `There are more than ${CALENDAR_LIMITS.dates} RDATE and EXDATE values. Split the calendar.`);
    }
    for (const value of property.values) yield { property, value };
  }
}

/** RDATE: a date or time with the length of the event, or a PERIOD with its own. */
function readExtra(
  { property, value }: { property: Property; value: unknown },
  start: Moment, length: { days: number; ms: number }, reading: Reading,
): CalendarSpan {
  const [begin, end] = Array.isArray(value) ? value as unknown[] : [value];
  const moment = readMoment(property, begin, reading.findZone);
  const own = end === undefined ? length
    : /^[+-]?P/.test(String(end)) ? bounded(readDuration(String(end), property.line), property.line)
    : between(moment, readMoment(property, end, reading.findZone), property.line);
  const text = localText(moment, start.zoneName, start.zone);
  return { start: text.length === 10 ? `${text}T00:00:00` : text, ...own };
}

/** The moment on the entry's clock: a date as 2026-01-03, a time as 2026-01-03T22:00:00. */
export function localText(moment: Moment, zoneName: string, zone: Moment['zone']): string {
  if (moment.isDate) return writeLocal(moment.local).slice(0, 10);
  return writeLocal(moment.zoneName === zoneName ? moment.local : zone.toLocal(moment.zone.toInstant(moment.local, 'shift')));
}
