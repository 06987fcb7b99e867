import { CALENDAR_LIMITS } from './icalendar-lines.js';
import { DAY, ScheduleError, type Calendar } from './schedule.js';
import { isTimeZone, readLocal } from './zone.js';

type Shape = (value: unknown) => boolean;

const text: Shape = (value) => typeof value === 'string' && value.length <= 1_000;
const number: Shape = (value) => Number.isSafeInteger(value);
const local: Shape = (value) => typeof value === 'string' && readLocal(value) !== null;
const list = (item: Shape, atMost: number): Shape => (value) => Array.isArray(value) && value.length <= atMost && value.every(item);
const record = (fields: Readonly<Record<string, Shape>>): Shape => (value) =>
  typeof value === 'object' && value !== null && Object.entries(fields).every(([key, shape]) => shape((value as Record<string, unknown>)[key]));
const optional = (shape: Shape): Shape => (value) => value === undefined || shape(value);

const length = { days: (value: unknown) => inRange(value, CALENDAR_LIMITS.days), ms: (value: unknown) => inRange(value, CALENDAR_LIMITS.days * DAY) };

const inRange = (value: unknown, most: number): boolean => number(value) && (value as number) >= 0 && (value as number) <= most;

const calendar = record({
  blackouts: list(record({
    uid: text, summary: text, line: number, timeZone: text, start: local, ...length, rule: optional(text),
    extra: list(record({ start: local, ...length }), CALENDAR_LIMITS.dates), except: list(text, CALENDAR_LIMITS.dates),
  }), CALENDAR_LIMITS.events),
  zones: list(record({ tzid: text, beforeMs: number, changes: list(record({ at: number, offsetMs: number }), 1_000) }), CALENDAR_LIMITS.zones),
});

/**
 * A calendar as it comes back from a database column or a request: the data is believed only after its shape and its
 * bounds are those of readCalendar. Throws ScheduleError.
 */
export function storedCalendar(value: unknown): Calendar {
  if (!calendar(value)) {
    throw new ScheduleError('the calendar is not one that an import of an iCalendar file produced; import the file again');
  }
  const { blackouts, zones } = value as Calendar;
  if (blackouts.filter((one) => one.rule !== undefined).length > CALENDAR_LIMITS.recurring) {
    throw new ScheduleError(`the calendar has more than ${CALENDAR_LIMITS.recurring} recurring events`);
  }
  const own = new Set(zones.map((zone) => zone.tzid));
  for (const name of new Set(blackouts.map((one) => one.timeZone))) {
    if (!own.has(name) && !isTimeZone(name)) throw new ScheduleError(`the calendar uses the unknown time zone "${name.slice(0, 60)}"`);
  }
  return { blackouts, zones };
}
