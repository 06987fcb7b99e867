// Building blocks of every request and reply.
import { z } from 'zod'

/** UUIDv7, lower case. */
export const id = z.uuid().meta({ description: 'UUIDv7' })
/** A name people type: hosts, patches, rollouts, tokens, credentials. */
export const name = z.string().min(1).max(100).regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/, 'letters, digits, dot, dash and underscore; starts with a letter or digit')
/** Host name or address as SSH will dial it. IPv6 without brackets. */
export const address = z.string().min(1).max(253).regex(/^[a-zA-Z0-9]([a-zA-Z0-9.:-]*[a-zA-Z0-9])?$|^::1$/, 'a host name, an IPv4 or an IPv6 address')
export const at = z.iso.datetime({ offset: false }).meta({ description: 'UTC, milliseconds' })
export const labelKey = z.string().min(1).max(63).regex(/^[a-zA-Z0-9]([a-zA-Z0-9._/-]*[a-zA-Z0-9])?$/)
/** SHA-256 in lower-case hex. */
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
/** Text a person wrote; control characters and halves of surrogate pairs are refused. */
// eslint-disable-next-line no-control-regex
export const prose = (max: number) => z.string().max(max).regex(/^[^\u0000-\u0008\u000b-\u001f\u007f\p{Cs}]*$/u, 'no control characters')
export const labels = z.record(labelKey, prose(200)).refine((all) => Object.keys(all).length <= 50, 'at most 50 labels')

export const reason = z.object({ code: z.string(), says: z.string() }).meta({ description: 'A typed reason and its one sentence' })

/** Pages follow keys, not offsets: pass `next` as `after`. */
export const page = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), next: z.string().nullable() })
export const pageQuery = z.object({ after: name.optional(), limit: z.coerce.number().int().min(1).max(1000).default(100) })
/** Newest first: the key is the id. */
export const idPageQuery = pageQuery.extend({ after: id.optional() })

/** RFC 9457 problem+json, plus Uptide's stable code and what to do next. */
export const problem = z.object({
  type: z.string(), title: z.string(), status: z.number().int(), code: z.string(), detail: z.string(),
  next: z.string().optional(), at: z.array(z.object({ path: z.string(), says: z.string() })).optional(),
})
export type Problem = z.infer<typeof problem>

// Host text made inert, for every client that prints it.
export { sanitise } from '@uptide/livepatch'
