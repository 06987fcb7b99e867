import { CALENDAR_LIMITS, CalendarError, quote, type Block, type Line } from './icalendar-lines.js';
import { only, rawValue, readMoment, readProperty, textOf, type FindZone, type Property } from './icalendar-values.js';
import { readRule, ruleLocals } from './rrule.js';
import { type ZoneTable } from './schedule.js';
import { ianaZone, isTimeZone, tableZone, type Zone } from './zone.js';

/** Changes before 1970 matter to nobody, and after 2100 the last known offset stays. */
const HORIZON = { from: Date.UTC(1970, 0, 1), until: Date.UTC(2100, 0, 1) };
const MAX_CHANGES = 1_000;

/** Times in a VTIMEZONE are local without a zone; they are only ever read as numbers. */
const bare: FindZone = () => ({ zoneName: '', zone: ianaZone('UTC') });

/**
 * Finds what a TZID of the file means: an IANA name first (its rules are kept up to date), then the VTIMEZONE of
 * that TZID, by its X-LIC-LOCATION or else by its own offsets. `used` collects the tables the entries need.
 */
export function zoneFinder(calendars: readonly Block[], floating: string | undefined, used: Map<string, ZoneTable>): FindZone {
  const definitions = new Map<string, Block>();
  for (const block of calendars.flatMap((calendar) => calendar.blocks.filter((one) => one.name === 'VTIMEZONE'))) {
    if (definitions.size >= CALENDAR_LIMITS.zones) {
      throw new CalendarError(block.number, `There are more than ${CALENDAR_LIMITS.zones} VTIMEZONEs. Remove the unused ones.`);
    }
    definitions.set(textOf(block, 'TZID', CALENDAR_LIMITS.text), block);
  }
  const known = new Map<string, { zoneName: string; zone: Zone }>();
  const find = (tzid: string, line: Line): { zoneName: string; zone: Zone } => {
    if (isTimeZone(tzid)) return { zoneName: tzid, zone: ianaZone(tzid) };
    const block = definitions.get(tzid);
    if (block === undefined) {
      throw new CalendarError(line.number, `The time zone "${tzid}" is neither an IANA name nor defined by a VTIMEZONE. Use a name such as Europe/Berlin.`);
    }
    const location = textOf(block, 'X-LIC-LOCATION', CALENDAR_LIMITS.text);
    if (isTimeZone(location)) return { zoneName: location, zone: ianaZone(location) };
    const table = readZone(block, tzid);
    used.set(tzid, table);
    return { zoneName: tzid, zone: tableZone(table) };
  };
  return (tzid, line) => {
    const name = tzid === undefined ? floating : quote(tzid, CALENDAR_LIMITS.text);
    if (name === undefined) {
      const advice = 'Import the file with a time zone for such times.';
      throw new CalendarError(line.number, `${line.name} is ${quote(rawValue(line))} without a time zone (a floating time or a whole day). ${advice}`);
    }
    const found = known.get(name) ?? find(name, line);
    known.set(name, found);
    return found;
  };
}

/** A VTIMEZONE as a table of offsets (RFC 5545 section 3.6.5). */
function readZone(block: Block, tzid: string): ZoneTable {
  const observances = block.blocks.filter((one) => one.name === 'STANDARD' || one.name === 'DAYLIGHT').map(readObservance);
  const changes = observances
    .flatMap(({ onsets, fromMs, toMs }) => onsets.map((local) => ({ at: local - fromMs, offsetMs: toMs, beforeMs: fromMs })))
    .toSorted((a, b) => a.at - b.at);
  const first = changes[0];
  if (first === undefined) {
    throw new CalendarError(block.number, `The VTIMEZONE "${tzid}" has no STANDARD or DAYLIGHT part. Export the calendar again.`);
  }
  if (changes.length > MAX_CHANGES) {
    throw new CalendarError(block.number, `The VTIMEZONE "${tzid}" changes its offset more than ${MAX_CHANGES} times. Use an IANA name instead.`);
  }
  return { tzid, beforeMs: first.beforeMs, changes: changes.map(({ at, offsetMs }) => ({ at, offsetMs })) };
}

function readObservance(block: Block): { onsets: number[]; fromMs: number; toMs: number } {
  const start = readMoment(...first(block, 'DTSTART'), bare).local;
  const onsets = new Set([start]);
  for (const line of block.lines.filter((one) => one.name === 'RDATE')) {
    const property = readProperty(line);
    for (const value of property.values) onsets.add(readMoment(property, Array.isArray(value) ? value[0] : value, bare).local);
    if (onsets.size > MAX_CHANGES) break;
  }
  const fromMs = readOffset(...first(block, 'TZOFFSETFROM'));
  const line = only(block, 'RRULE');
  if (line !== undefined) {
    const rule = readRule(rawValue(line));
    if (typeof rule === 'string') throw new CalendarError(line.number, `The RRULE ${rule}. Correct the rule.`);
    if (!rule.text.includes('FREQ=YEARLY')) {
      throw new CalendarError(line.number, 'A time zone rule must have FREQ=YEARLY. Use an IANA name instead.');
    }
    const yearly = ruleLocals(rule, start, HORIZON.from, HORIZON.until);
    for (const local of yearly.filter((one) => one - fromMs <= rule.untilInstant)) onsets.add(local);
  }
  return { onsets: [...onsets], fromMs, toMs: readOffset(...first(block, 'TZOFFSETTO')) };
}

function first(block: Block, name: string): [Property, unknown] {
  const line = only(block, name);
  if (line === undefined) {
    throw new CalendarError(block.number, `The ${block.name} of this VTIMEZONE has no ${name}. Export the calendar again.`);
  }
  const property = readProperty(line);
  return [property, property.values[0]];
}

/** +01:00 or -04:30:00, at most a day. */
function readOffset(property: Property, value: unknown): number {
  const parts = /^([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(String(value));
  const hours = Number(parts?.[2]);
  if (parts === null || hours > 23) {
    const { line } = property;
    throw new CalendarError(line.number, `${line.name} is ${quote(rawValue(line))}, which is no offset such as +0100. Correct it.`);
  }
  const seconds = hours * 3600 + Number(parts[3]) * 60 + Number(parts[4] ?? 0);
  return (parts[1] === '-' ? -1000 : 1000) * seconds;
}
