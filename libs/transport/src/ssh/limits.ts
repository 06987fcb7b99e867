// Every wait and every amount on the SSH road has a limit; each can be shortened for tests.

export interface SshLimits {
  /** TCP connect, milliseconds. Three SYN retries take 7 s; a host that needs them is not well. */
  readonly tcpMs: number
  /** Handshake and authentication: a loaded small host needs 1-2 s, a TCG guest 1.4 s. */
  readonly readyMs: number
  readonly channelMs: number
  /** The gate's greeting (zero-install) or first reply. */
  readonly greetingMs: number
  /** A connection serves one attempt: 15 min is twice the longest wait for a transition. */
  readonly connectionMs: number
  /** Bytes of one reply: 200 kernel log lines of 4 KiB do not reach it. */
  readonly replyBytes: number
  /** Bytes of a whole session, both streams. */
  readonly sessionBytes: number
  /** Bytes of stderr kept for a message. */
  readonly stderrKept: number
  /** While a `watch` streams, silence longer than this ends it, milliseconds. */
  readonly silenceMs: number
  readonly keepaliveMs: number
  readonly keepaliveMisses: number
}

export const sshLimits: SshLimits = {
  tcpMs: 5_000, readyMs: 15_000, channelMs: 10_000, greetingMs: 30_000, connectionMs: 15 * 60_000,
  replyBytes: 1024 * 1024, sessionBytes: 16 * 1024 * 1024, stderrKept: 2048, silenceMs: 30_000, keepaliveMs: 5_000, keepaliveMisses: 3,
}
