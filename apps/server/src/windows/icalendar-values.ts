import ICAL from 'ical.js';
import { CalendarError, quote, type Block, type Line } from './icalendar-lines.js';
import { DAY, HOUR, MINUTE } from './schedule.js';
import { readLocal, type Zone } from './zone.js';

/** A property as ical.js reads one line: its parameters, its value type and its values. */
export interface Property {
  readonly line: Line;
  readonly params: Readonly<Record<string, unknown>>;
  readonly type: string;
  readonly values: readonly unknown[];
}

/** A date or date-time of the file, on the clock it is written for. */
export interface Moment { readonly local: number; readonly isDate: boolean; readonly zoneName: string; readonly zone: Zone }

/** What names mean in this file: `tzid` undefined is a floating time (RFC 5545 section 3.3.5, form 1). */
export type FindZone = (tzid: string | undefined, line: Line) => { readonly zoneName: string; readonly zone: Zone };

/** Reads one line; whatever ical.js cannot read becomes a CalendarError with its place. */
export function readProperty(line: Line): Property {
  try {
    const [, params, type, ...values] = ICAL.parse.property(line.text) as [string, Record<string, unknown>, string, ...unknown[]];
    return { line, params, type, values };
  } catch {
    throw new CalendarError(line.number, `${quote(line.text)} cannot be read as ${line.name}. Correct the line or export the calendar again.`);
  }
}

/** The text behind the first colon that no quotes enclose: an RRULE is validated by our own reader. */
export function rawValue(line: Line): string {
  return /^(?:"[^"]*"|[^":])*:(.*)$/s.exec(line.text)?.[1]?.trim() ?? '';
}

/** The only property of that name in the component; undefined if there is none. */
export function only(block: Block, name: string): Line | undefined {
  const [first, second] = block.lines.filter((line) => line.name === name);
  if (second !== undefined) {
    throw new CalendarError(second.number, `A second ${name} in the ${block.name} of line ${block.number}. Keep one.`);
  }
  return first;
}

/** A short text property such as SUMMARY, made safe to store; empty if missing. */
export function textOf(block: Block, name: string, atMost: number): string {
  const line = block.lines.find((one) => one.name === name);
  return line === undefined ? '' : quote(String(readProperty(line).values[0] ?? ''), atMost);
}

/** One DATE or DATE-TIME value of the property. */
export function readMoment(property: Property, value: unknown, findZone: FindZone): Moment {
  const text = String(value);
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text);
  const utc = text.endsWith('Z');
  const local = readLocal(isDate ? `${text}T00:00:00` : text.replace(/Z$/, ''));
  if (local === null) {
    const { line } = property;
    throw new CalendarError(line.number, `${line.name} is ${quote(rawValue(line))}, which is no date or time such as 20260103T220000. Correct it.`);
  }
  if (utc) return { local, isDate, ...findZone('UTC', property.line) };
  const tzid = property.params['tzid'];
  return { local, isDate, ...findZone(isDate || tzid === undefined ? undefined : String(tzid), property.line) };
}

/** RFC 5545 section 3.3.6: weeks and days are nominal, the rest is elapsed time. Negative ones are refused. */
export function readDuration(text: string, line: Line): { days: number; ms: number } {
  const trouble = (why: string): CalendarError => new CalendarError(line.number, `The duration ${quote(text)} ${why}. Write one such as PT4H or P2D.`);
  let duration: { weeks: number; days: number; hours: number; minutes: number; seconds: number; isNegative: boolean };
  try {
    duration = ICAL.Duration.fromString(text);
  } catch {
    throw trouble('cannot be read');
  }
  if (duration.isNegative) throw trouble('is negative');
  const days = duration.weeks * 7 + duration.days;
  const ms = duration.hours * HOUR + duration.minutes * MINUTE + duration.seconds * 1000;
  if (!Number.isSafeInteger(days * DAY + ms)) throw trouble('cannot be read');
  return { days, ms };
}
