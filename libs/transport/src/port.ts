// Reach a host: the port that every road implements, with one conformance suite (conformance.ts).
import type { GateReply, GateRequest } from '@uptide/livepatch'

/** An open session with one host's gate. One request at a time; closing twice is harmless. */
export interface GateChannel {
  /** What the host proved to be: the pinned key's fingerprint. */
  readonly hostKeySha256: string
  /**
   * Sends one request and waits for its whole reply.
   * @param onLine called for each data line as it arrives (a `watch` streams).
   * @throws ChannelError — typed; the channel is then unusable.
   */
  ask(request: GateRequest, onLine?: (line: string) => void): Promise<GateReply>
  close(): void
}

/** Why a channel could not be had or was lost. `retry`: whether another try later can help. */
export type ChannelFault =
  | 'UNREACHABLE'        // no TCP, refused, reset, name not found
  | 'CONNECT_TIMEOUT'    // TCP accepted, nothing said: handshake past its deadline
  | 'AUTH_FAILED'
  | 'HOST_KEY_CHANGED'   // the key is not the pinned one: never retried, needs a person
  | 'HOST_KEY_UNKNOWN'   // nothing pinned
  | 'CHANNEL_REFUSED'    // exec refused, no channel
  | 'GATE_MISSING'       // the forced command or shell answered something that is no gate
  | 'REPLY_TIMEOUT'      // a reply past its deadline
  | 'PROTOCOL'           // nonsense, wrong nonce, a line too long
  | 'TOO_MUCH_OUTPUT'    // over the byte cap
  | 'CONTACT_LOST'       // the connection ended in mid-session
  | 'CANCELLED'          // our own signal

export class ChannelError extends Error {
  override readonly name = 'ChannelError'
  constructor(readonly fault: ChannelFault, message: string, readonly retry: boolean) { super(message) }
}

/** How to reach one host over SSH. Secrets live only in memory, unsealed for this call. */
export interface SshAddress {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly privateKey: string
  readonly passphrase?: string
  /** Pinned host key: `ssh-ed25519 AAAA…` (type and base64). */
  readonly hostKey: string
  /** `installed`: a forced command answers. `zero-install`: the gate's text is sent ahead. */
  readonly gate: { readonly mode: 'installed' } | { readonly mode: 'zero-install'; readonly text: string }
}

export interface Road {
  open(address: SshAddress, signal: AbortSignal): Promise<GateChannel>
}
