import { z } from 'zod'
import { at, id, pageQuery } from './words.js'

export const event = z.object({
  seq: z.string().regex(/^\d+$/), at, principal: z.string(), kind: z.string(),
  rolloutId: id.nullable(), hostId: id.nullable(), targetId: id.nullable(), data: z.record(z.string(), z.unknown()),
  prevHash: z.string(), hash: z.string(),
})
export type Event = z.infer<typeof event>
export const eventQuery = pageQuery.extend({
  after: z.string().regex(/^\d{1,18}$/).optional().meta({ description: 'Sequence number' }),
  rolloutId: id.optional(), hostId: id.optional(), kind: z.string().max(60).regex(/^[a-z.-]*$/, 'noun.verbed').optional(),
})
export const streamQuery = z.object({ rolloutId: id.optional(), after: z.string().regex(/^\d{1,18}$/).optional() })
export const chainReply = z.object({ ok: z.boolean(), count: z.number(), head: z.string().nullable(), says: z.string() })

export const token = z.object({ id, name: z.string(), createdAt: at, lastUsedAt: at.nullable(), revokedAt: at.nullable() })
export const tokenCreated = token.extend({ secret: z.string().meta({ description: 'Shown once' }) })
