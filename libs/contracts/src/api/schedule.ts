import { z } from 'zod'
import { at, prose } from './words.js'

const day = 24 * 60 * 60_000
const ms = z.number().int().min(0)
const recurrence = z.union([
  z.strictObject({ kind: z.literal('cron'), expression: prose(1_000).min(1) }),
  z.strictObject({ kind: z.literal('rrule'), start: prose(40).min(1), rule: prose(1_000).min(1) }),
])
const window = z.strictObject({ name: prose(100).optional(), recurrence, timeZone: prose(100).min(1), durationMs: ms.max(7 * day), cutoffMs: ms.max(7 * day).default(0) })
const blackout = z.strictObject({
  name: prose(200), intervals: z.array(z.strictObject({ from: z.number(), until: z.number() })).max(5_000).optional(),
  /** As calendar.read answers it. */
  calendar: z.record(z.string(), z.unknown()).optional(),
})
/** When hosts may start. Nothing given: always. */
export const schedule = z.strictObject({ startAt: z.number().int().nullable().default(null), windows: z.array(window).max(20).default([]), blackouts: z.array(blackout).max(100).default([]) })

export const previewAsk = z.strictObject({ schedule, count: z.number().int().min(1).max(100).default(10) })
const part = z.object({ from: at, until: at })
export const previewReply = z.object({
  now: at, open: z.boolean(), says: z.string(), changesAt: at.nullable(),
  occurrences: z.array(z.object({ window: z.string(), start: at, end: at, cutoff: at, taken: z.array(part.extend({ by: z.string() })), open: z.array(part) })),
})
export type Preview = z.infer<typeof previewReply>

/** For times without a zone of their own. */
export const calendarQuery = z.object({ timeZone: z.string().max(100).optional() })
export const calendarReply = z.object({ calendar: z.record(z.string(), z.unknown()) })
