// The chain of events: each one's hash covers its own fields and the hash before it, so that nothing can be changed,
// taken out, put in or moved without every later hash giving it away.
import { canonicalJson } from './canonical.js'

/** SHA-256 of the bytes; an argument, since this library touches no cryptography of its own (law 9). */
export type Digest = (bytes: Uint8Array) => Uint8Array

/** Stands in front of every hashed text, so that a hash of ours means nothing anywhere else. */
const domain = 'uptide-event@v1\n'

export const hashBytes = 32
/** What the first event's `prevHash` is. */
export const genesisHash: Uint8Array = new Uint8Array(hashBytes)

export interface ChainEvent {
  /** From 1, without gaps; decimal. */
  readonly seq: string
  /** ISO 8601, UTC, milliseconds: `2026-11-24T02:00:00.000Z`. */
  readonly at: string
  readonly principal: string
  readonly kind: string
  readonly rolloutId: string | null
  readonly hostId: string | null
  readonly targetId: string | null
  readonly data: Readonly<Record<string, unknown>>
}

export interface LinkedEvent extends ChainEvent {
  readonly prevHash: Uint8Array
  readonly hash: Uint8Array
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

// UTF-8 without TextEncoder: the library compiles without a platform.
function utf8(text: string): Uint8Array {
  const bytes: number[] = []
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    if (code < 0x80) bytes.push(code)
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63))
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
  }
  return Uint8Array.from(bytes)
}

/** The hash of one event behind `prevHash`. @throws TypeError when its data cannot be written canonically. */
export function eventHash(event: ChainEvent, prevHash: Uint8Array, digest: Digest): Uint8Array {
  const { seq, at, principal, kind, rolloutId, hostId, targetId, data } = event
  return digest(utf8(domain + canonicalJson({ seq, at, principal, kind, rolloutId, hostId, targetId, data, prevHash: hex(prevHash) })))
}

/** Links events behind `prev`, giving each its number and its hash. */
export function linkEvents(prev: { readonly seq: string; readonly hash: Uint8Array } | null, events: readonly Omit<ChainEvent, 'seq'>[], digest: Digest): LinkedEvent[] {
  let seq = BigInt(prev?.seq ?? 0)
  let prevHash = prev?.hash ?? genesisHash
  return events.map((event) => {
    seq += 1n
    const whole: ChainEvent = { ...event, seq: seq.toString() }
    const hash = eventHash(whole, prevHash, digest)
    const linked: LinkedEvent = { ...whole, prevHash, hash }
    prevHash = hash
    return linked
  })
}

export type ChainVerdict =
  | { readonly ok: true; readonly count: number; readonly head: Uint8Array; readonly seq: string }
  | { readonly ok: false; readonly count: number; readonly seq: string; readonly code: 'GAP' | 'BROKEN_LINK' | 'CHANGED' | 'TRUNCATED' | 'UNREADABLE'; readonly says: string }

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, index) => byte === b[index])

export class ChainVerifier {
  private seq: bigint
  private head: Uint8Array
  private count = 0
  private fault: Extract<ChainVerdict, { ok: false }> | null = null

  constructor(private readonly digest: Digest, from: { readonly seq: string; readonly hash: Uint8Array } | null = null) {
    this.seq = BigInt(from?.seq ?? 0)
    this.head = from?.hash ?? genesisHash
  }

  /** @returns false at the first event that does not fit; later ones are not looked at. */
  add(event: LinkedEvent): boolean {
    if (this.fault) return false
    const expected = (this.seq + 1n).toString()
    if (event.seq !== expected) return this.fail(event.seq, 'GAP', `Event ${expected} is missing: ${event.seq} stands in its place.`)
    if (!same(event.prevHash, this.head)) return this.fail(event.seq, 'BROKEN_LINK', `Event ${event.seq} does not continue the one before it.`)
    let hash: Uint8Array
    try { hash = eventHash(event, event.prevHash, this.digest) } catch { return this.fail(event.seq, 'UNREADABLE', `Event ${event.seq} holds what no event can hold.`) }
    if (!same(hash, event.hash)) return this.fail(event.seq, 'CHANGED', `Event ${event.seq} was changed after it was written: its content does not give its hash.`)
    this.seq += 1n
    this.head = event.hash
    this.count += 1
    return true
  }

  /** @param known a head seen earlier, kept elsewhere: without it, a cut-off end cannot be noticed. */
  verdict(known?: { readonly seq: string; readonly hash: Uint8Array }): ChainVerdict {
    if (this.fault) return this.fault
    if (known && (BigInt(known.seq) > this.seq || (BigInt(known.seq) === this.seq && !same(known.hash, this.head)))) {
      return { ok: false, count: this.count, seq: known.seq, code: 'TRUNCATED', says: `The chain ends at ${this.seq}, but event ${known.seq} was seen before.` }
    }
    return { ok: true, count: this.count, head: this.head, seq: this.seq.toString() }
  }

  private fail(seq: string, code: Extract<ChainVerdict, { ok: false }>['code'], says: string): false {
    this.fault = { ok: false, count: this.count, seq, code, says }
    return false
  }
}

/** Verifies events in order, from the beginning or from a known one. */
export function verifyChain(events: Iterable<LinkedEvent>, digest: Digest, known?: { readonly seq: string; readonly hash: Uint8Array }): ChainVerdict {
  const verifier = new ChainVerifier(digest)
  for (const event of events) if (!verifier.add(event)) break
  return verifier.verdict(known)
}
