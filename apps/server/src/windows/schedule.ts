/** The nouns of this folder: plain JSON data, so that a schedule can be kept in a database column. */

/** Half-open [from, until), milliseconds since the epoch. */
export interface Interval { readonly from: number; readonly until: number }

/** When a window starts. Both kinds are read on the clock of the window's time zone. */
export type Recurrence =
  /** Five fields: minute, hour, day of month, month, day of week. */
  | { readonly kind: 'cron'; readonly expression: string }
  /**
   * `start` is a local date-time without offset (2026-01-03T22:00:00), `rule` an RFC 5545 RRULE value
   * (FREQ=WEEKLY;BYDAY=SA). A `start` that the rule itself does not produce is not an occurrence.
   */
  | { readonly kind: 'rrule'; readonly start: string; readonly rule: string };

/** A maintenance window: hosts may be started from its start until its end minus the cutoff. */
export interface Window {
  readonly name?: string;
  readonly recurrence: Recurrence;
  /** IANA name, such as Europe/Berlin. */
  readonly timeZone: string;
  /** Elapsed time: a four-hour window has four hours on the day the clock changes too. */
  readonly durationMs: number;
  /** No new host starts in the last `cutoffMs` of the window. */
  readonly cutoffMs: number;
}

/** A time in which nothing may start, given as fixed intervals, as an imported calendar, or both. */
export interface Blackout {
  readonly name: string;
  readonly intervals?: readonly Interval[];
  /** A Calendar as readCalendar answers it. Unknown, because it comes back from a column or a request: storedCalendar checks it. */
  readonly calendar?: unknown;
}

/** No window at all means always open: only the blackouts and `startAt` restrict. */
export interface Schedule {
  /** Nothing starts before this moment (milliseconds since the epoch). */
  readonly startAt: number | null;
  readonly windows: readonly Window[];
  readonly blackouts: readonly Blackout[];
}

/** What an iCalendar file says, still unexpanded. */
export interface Calendar {
  readonly blackouts: readonly CalendarEntry[];
  /** Time zones that only the file itself defines (VTIMEZONE with a TZID unknown to IANA). */
  readonly zones: readonly ZoneTable[];
}

/** One VEVENT. All date-times are local to `timeZone` and have the form 2026-01-03T22:00:00. */
export interface CalendarEntry extends CalendarSpan {
  readonly uid: string;
  readonly summary: string;
  /** The line of the file on which the event begins. */
  readonly line: number;
  /** IANA name, or the `tzid` of one of the calendar's own zones. */
  readonly timeZone: string;
  /** RRULE value, already validated. */
  readonly rule?: string;
  /** RDATE: further occurrences. */
  readonly extra: readonly CalendarSpan[];
  /** EXDATE and overridden occurrences: date-times, or dates (2026-01-03) which remove that whole day. */
  readonly except: readonly string[];
}

/**
 * A start and its length. Days are nominal (until the same clock reading `days` later), milliseconds are elapsed:
 * RFC 5545 section 3.3.6. An all-day event therefore ends at local midnight on a 23-hour day too.
 */
export interface CalendarSpan { readonly start: string; readonly days: number; readonly ms: number }

/** UTC offsets of a zone: `before` until the first change, then each from its moment on. */
export interface ZoneTable {
  readonly tzid: string;
  readonly beforeMs: number;
  readonly changes: readonly { readonly at: number; readonly offsetMs: number }[];
}

/** One thing wrong with a schedule: where (`windows[0].durationMs`), and a sentence for the person who wrote it. */
export interface Fault { readonly path: string; readonly says: string }

/** A schedule that cannot be expanded: malformed, or too dense for the bounds. Callers treat it as closed. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
}

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Bounds on what one schedule may cost. */
export const LIMITS = {
  windows: 20,
  blackouts: 50,
  /** Fixed intervals of one blackout. */
  intervals: 5_000,
  /** Characters of a cron expression, a rule or a name. */
  text: 1_000,
  durationMs: 7 * DAY,
  /** Starts of one window in one expansion. */
  starts: 20_000,
  /** Occurrences of all calendar entries in one expansion. */
  calendarOccurrences: 50_000,
  /** How far a search for the next change or the next opening looks. */
  horizonMs: 400 * DAY,
  /** How far `occurrences` looks: a 29 February is at most eight years away. */
  occurrenceHorizonMs: 9 * 366 * DAY,
} as const;
