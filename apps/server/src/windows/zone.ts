import { Temporal } from 'temporal-polyfill';
import type { ZoneTable } from './schedule.js';

/**
 * Where a local time that the clock skips ends up.
 *
 * `end`: at the moment the gap ends, the first moment the clock reads that time or later. Windows use this.
 * `shift`: as far after the gap as it lay inside it (RFC 5545 section 3.3.5). Calendar entries use this.
 *
 * They differ only inside a gap: 02:30 in Berlin's spring is 03:00 with `end`, 03:30 with `shift`.
 */
export type Gap = 'end' | 'shift';

/**
 * A clock. Local times are milliseconds "as if UTC": the number whose UTC date and time are what the clock reads.
 * A local time that occurs twice is always the first of the two.
 */
export interface Zone {
  toLocal(instant: number): number;
  toInstant(local: number, gap: Gap): number;
}

const UTC: Zone = { toLocal: (instant) => instant, toInstant: (local) => local };

/** Whether `name` is an IANA time zone. Fixed offsets such as +02:00 are not names. */
export function isTimeZone(name: string): boolean {
  if (name.length > 100 || !/^[A-Za-z]/.test(name)) return false;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

/** The clock of an IANA time zone. Throws RangeError for an unknown name. */
export function ianaZone(name: string): Zone {
  if (!isTimeZone(name)) throw new RangeError(`"${name.slice(0, 100)}" is not an IANA time zone`);
  if (name === 'UTC') return UTC;
  const toLocal = (instant: number): number =>
    instant + Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(name).offsetNanoseconds / 1e6;
  return {
    toLocal,
    toInstant(local, gap) {
      const plain = Temporal.Instant.fromEpochMilliseconds(local).toZonedDateTimeISO('UTC').toPlainDateTime();
      const zoned = plain.toZonedDateTime(name, { disambiguation: 'compatible' });
      const instant = zoned.epochMilliseconds;
      // The clock reads something else at that moment only if the asked time lies in a gap.
      if (gap === 'shift' || toLocal(instant) === local) return instant;
      const change = zoned.add({ nanoseconds: 1 }).getTimeZoneTransition('previous');
      return change === null ? instant : change.epochMilliseconds;
    },
  };
}

/** The clock of a zone that an iCalendar file defines itself. */
export function tableZone(table: ZoneTable): Zone {
  const offsets = [{ at: -Infinity, offsetMs: table.beforeMs }, ...table.changes];
  return {
    toLocal: (instant) => instant + offsets.findLast((one) => one.at <= instant)!.offsetMs,
    toInstant(local, gap) {
      for (const [index, { at, offsetMs }] of offsets.entries()) {
        const instant = local - offsetMs;
        const end = offsets[index + 1]?.at ?? Infinity;
        if (instant < at) return gap === 'end' ? at : local - offsets[index - 1]!.offsetMs;
        if (instant < end) return instant;
      }
      throw new RangeError('unreachable: the last offset has no end');
    },
  };
}

const LOCAL = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d))?$/;

/** Reads 2026-01-03T22:00:00 (seconds optional) as local milliseconds; null if it is no date-time of 1600 to 9998. */
export function readLocal(text: string): number | null {
  const parts = LOCAL.exec(text)?.slice(1).map((part) => Number(part ?? 0));
  if (parts === undefined) return null;
  const [year, month, day, hour, minute, second] = parts as [number, number, number, number, number, number];
  const local = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC carries 30 February over into March; what does not read back was no date.
  const same = writeLocal(local).startsWith(text);
  return same && year >= 1600 && year <= 9998 ? local : null;
}

/** Local milliseconds as 2026-01-03T22:00:00. */
export function writeLocal(local: number): string {
  return new Date(local).toISOString().slice(0, 19);
}
