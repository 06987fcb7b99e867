import { CALENDAR_LIMITS, CalendarError, quote, readBlocks, type Block } from './icalendar-lines.js';
import { localText, readEvent, type Event, type Reading } from './icalendar-event.js';
import { only, readMoment, readProperty, textOf, type Moment } from './icalendar-values.js';
import { zoneFinder } from './icalendar-zones.js';
import { ScheduleError, type Calendar, type CalendarEntry, type ZoneTable } from './schedule.js';
import { isTimeZone } from './zone.js';

export { CALENDAR_LIMITS, CalendarError } from './icalendar-lines.js';

/** A calendar and what was left out of it, with the reason. */
export interface ReadCalendar extends Calendar {
  readonly ignored: readonly { readonly line: number; readonly why: string }[];
}

/**
 * Reads an iCalendar file (RFC 5545) as a blackout: every opaque, not cancelled VEVENT, still unexpanded, as plain
 * JSON data. `floatingTimeZone` (IANA) is the clock of times without a zone and of whole days; without it the file's
 * own X-WR-TIMEZONE counts, and without that too such times are refused.
 *
 * Throws CalendarError only, with the line.
 */
export function readCalendar(text: string, options: { readonly floatingTimeZone?: string } = {}): ReadCalendar {
  try {
    return read(text, options.floatingTimeZone);
  } catch (error) {
    if (error instanceof CalendarError) throw error;
    // A time zone rule past the bounds of the expansion; its sentence names the rule.
    if (error instanceof ScheduleError) throw new CalendarError(1, `The file cannot be read: ${error.message}. Simplify the rule.`);
    throw error;
  }
}

function read(text: string, floatingTimeZone: string | undefined): ReadCalendar {
  const calendars = readBlocks(text);
  const zones = new Map<string, ZoneTable>();
  const floating = floatingTimeZone ?? calendars.map((one) => textOf(one, 'X-WR-TIMEZONE', CALENDAR_LIMITS.text)).find(isTimeZone);
  if (floating !== undefined && !isTimeZone(floating)) {
    throw new CalendarError(1, `The time zone "${quote(floating)}" for floating times is no IANA name. Give one such as Europe/Berlin.`);
  }
  const reading: Reading = { findZone: zoneFinder(calendars, floating, zones), dates: 0, recurring: 0, counted: 0 };
  const blocks = calendars.flatMap((one) => one.blocks.filter((block) => block.name === 'VEVENT'));
  const surplus = blocks[CALENDAR_LIMITS.events];
  if (surplus !== undefined) {
    throw new CalendarError(surplus.number, `There are more than ${CALENDAR_LIMITS.events} events. Export a shorter time span.`);
  }

  const ignored: { line: number; why: string }[] = [];
  const events: Event[] = [];
  const overrides: { uid: string; id: Moment }[] = [];
  for (const block of blocks) {
    const event = readEvent(block, reading);
    const id = recurrenceId(block, reading);
    if (id !== undefined) overrides.push({ uid: event.entry.uid, id });
    const why = ignoredBecause(block, event.entry);
    if (why === null) events.push(event);
    else ignored.push({ line: block.number, why });
  }
  return { blackouts: withoutOverridden(events, overrides), zones: [...zones.values()], ignored };
}

/** An override stands for itself; the occurrence it replaces is taken out of the events of the same UID. */
function withoutOverridden(events: readonly Event[], overrides: readonly { uid: string; id: Moment }[]): CalendarEntry[] {
  const byUid = Map.groupBy(overrides, (one) => one.uid);
  return events.map(({ entry, zone }) => {
    const replaced = entry.rule === undefined && entry.extra.length === 0 ? undefined : byUid.get(entry.uid);
    if (replaced === undefined) return entry;
    return { ...entry, except: [...entry.except, ...replaced.map(({ id }) => localText(id, entry.timeZone, zone))] };
  });
}

function ignoredBecause(block: Block, entry: CalendarEntry): string | null {
  if (textOf(block, 'STATUS', 20).toUpperCase() === 'CANCELLED') return 'It is cancelled.';
  if (textOf(block, 'TRANSP', 20).toUpperCase() === 'TRANSPARENT') return 'It is marked as free time (TRANSP:TRANSPARENT).';
  const lasts = [entry, ...entry.extra].some(({ days, ms }) => days > 0 || ms > 0);
  return lasts ? null : 'It has no length: neither DTEND nor DURATION.';
}

function recurrenceId(block: Block, reading: Reading): Moment | undefined {
  const line = only(block, 'RECURRENCE-ID');
  if (line === undefined) return undefined;
  const property = readProperty(line);
  if (property.params['range'] !== undefined) {
    throw new CalendarError(line.number, 'RANGE=THISANDFUTURE is not supported. End the old series and add a new one in the calendar program.');
  }
  const rule = block.lines.find((one) => one.name === 'RRULE' || one.name === 'RDATE');
  if (rule !== undefined) {
    throw new CalendarError(rule.number, `An event with RECURRENCE-ID replaces one occurrence and cannot have ${rule.name}. Remove one of them.`);
  }
  return readMoment(property, property.values[0], reading.findZone);
}
