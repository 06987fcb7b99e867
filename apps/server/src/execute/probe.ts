// Asks one host what it is, outside any rollout: takes no lease, changes nothing.
import { drive, probeDriver, sentenceOf } from '@uptide/livepatch'
import type { HostFacts } from '@uptide/store'
import { ChannelError } from '@uptide/transport'
import { CredentialUnusable, type Reach, type Reachable } from './reach.js'

export type Probed = { readonly facts: HostFacts } | { readonly code: string; readonly says: string }

/** A probe as a whole, milliseconds: connect 20 s at most, then three short questions. */
const probeMaxMs = 45_000

export async function probeHost(reach: Reach, host: Reachable): Promise<Probed> {
  try {
    const channel = await reach.open(host, AbortSignal.timeout(probeMaxMs))
    try {
      const done = await drive(probeDriver, null, channel, { before: async () => true, progress: () => {}, body: async () => null, pause: async () => {} })
      if (!done.ended) return { code: 'CANCELLED', says: 'The probe was stopped.' }
      if (done.outcome.kind === 'facts') return { facts: done.outcome.facts }
      return { code: done.outcome.code, says: `${sentenceOf(done.outcome.code)} ${done.outcome.detail}`.trim() }
    } finally { channel.close() }
  } catch (error) {
    if (error instanceof ChannelError) return { code: error.fault, says: error.message }
    if (error instanceof CredentialUnusable) return { code: 'CREDENTIAL_UNUSABLE', says: error.message }
    throw error
  }
}
