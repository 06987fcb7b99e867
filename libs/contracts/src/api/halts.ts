import { z } from 'zod'
import { at, id, idPageQuery, prose, reason, sha256 } from './words.js'

/** A host that may have come to harm by the artefact: lost, rebooted or failed after it was loaded. */
export const suspect = z.object({ host: z.string(), rollout: z.string(), state: z.string(), reason: reason.nullable() })

export const halt = z.object({
  id, sha256, patch: z.string(), kernelRelease: z.string(), rolloutId: id, rollout: z.string(), host: z.string(), reason, at,
  releasedAt: at.nullable(), releasedBy: z.string().nullable(), releasedSays: z.string().nullable(),
  /** At most 100, the newest first. */
  suspects: z.array(suspect),
})
export type Halt = z.infer<typeof halt>

export const haltQuery = idPageQuery.extend({ released: z.enum(['yes', 'no']).default('no') })
/** Why it may start again is kept for good. */
export const haltRelease = z.strictObject({ reason: prose(500).min(3) })
