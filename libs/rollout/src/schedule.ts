// When hosts may start. No schedule is needed to patch: without one it is always open. Recurrences and calendars are worked
// out by the server (apps/server/src/windows); the planner is given what they come to now.

/** A recurring window. Its start is a wall-clock time of its zone; it lasts so long by every clock. */
export interface Window {
  readonly name?: string
  readonly recurrence:
    /** Five fields: minute, hour, day of month, month, day of week. */
    | { readonly kind: 'cron'; readonly expression: string }
    /** RFC 5545: the first start as local time without offset (2026-01-03T22:00:00), and a rule (FREQ=WEEKLY;BYDAY=SA). */
    | { readonly kind: 'rrule'; readonly start: string; readonly rule: string }
  /** IANA, e.g. Europe/Berlin. */
  readonly timeZone: string
  readonly durationMs: number
  /** In this last part of the window no host starts any more. */
  readonly cutoffMs: number
}

/** Nothing starts in these intervals, milliseconds since the epoch, [from, until), nor when the calendar says so. */
export interface Blackout {
  readonly name: string
  readonly intervals?: readonly { readonly from: number; readonly until: number }[]
  /** An imported iCalendar file as the server reads it. */
  readonly calendar?: unknown
}

export interface Schedule {
  /** Nothing starts before, milliseconds since the epoch; null: at once. */
  readonly startAt: number | null
  /** Any of them is enough; none at all: always open. */
  readonly windows: readonly Window[]
  readonly blackouts: readonly Blackout[]
}

/** What a schedule comes to at one moment. */
export interface WindowState {
  readonly open: boolean
  /** When this changes, milliseconds since the epoch; null: not in any time that can be foreseen. */
  readonly changesAt: number | null
  /** One sentence. */
  readonly says: string
}
