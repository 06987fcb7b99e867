// What the planner has to know about error codes. The server hands in the full table of libs/livepatch.

export type RetryClass = 'never' | 'backoff' | 'after-transition'

export interface PlanRules {
  /** Can another try help? */
  retryOf(code: string): RetryClass
  /** Is this a loss of contact, which says nothing about the kernel? */
  isContact(code: string): boolean
  /** Did the kernel come to harm? Then the artefact is halted everywhere (law 6). */
  isHarm(code: string): boolean
  /** One sentence for people. */
  sentenceOf(code: string): string
}

/** Faults of the road, not of the kernel. */
export const contactCodes: ReadonlySet<string> = new Set([
  'UNREACHABLE', 'CONNECT_TIMEOUT', 'CHANNEL_REFUSED', 'REPLY_TIMEOUT', 'CONTACT_LOST', 'CANCELLED', 'PROTOCOL', 'TOO_MUCH_OUTPUT',
])

const backoff: ReadonlySet<string> = new Set([...contactCodes, 'LOCKED', 'ACTIVENESS', 'IN_USE', 'NO_SPACE', 'NO_MEMORY', 'IO'])

export const defaultRules: PlanRules = {
  retryOf: (code) => (code === 'TRANSITION_BUSY' ? 'after-transition' : backoff.has(code) ? 'backoff' : 'never'),
  isContact: (code) => contactCodes.has(code),
  isHarm: (code) => code === 'KERNEL_OOPS',
  sentenceOf: (code) => `It ended with ${code}.`,
}

// FNV-1a over the text: enough to spread hosts, and the same for ever.
function spread(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return hash / 0x1_0000_0000
}

/**
 * The pause before try `count` + 1, milliseconds: doubles from `firstMs` up to `maxMs`, then less up to a quarter by
 * the target's own id, so that a thousand hosts that failed together do not come back together.
 */
export function pauseMs(seed: string, count: number, limits: { readonly firstMs: number; readonly maxMs: number }): number {
  const whole = Math.min(limits.maxMs, limits.firstMs * 2 ** Math.min(count, 30))
  return Math.max(1, Math.round(whole * (1 - 0.25 * spread(`${seed}:${count}`))))
}
