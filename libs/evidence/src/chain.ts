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

/** A place in the chain: an event's number and its hash. */
export interface ChainHead { readonly seq: string; readonly hash: Uint8Array }

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

/**
 * The event's own frame and what wraps a host's words inside `data` may add so many levels: text that was found canonical
 * by itself must not spoil, at the very limit, the commit it is written in.
 */
const frameDepth = 8

/** The hash of one event behind `prevHash`. @throws TypeError when its data cannot be written canonically. */
export function eventHash(event: ChainEvent, prevHash: Uint8Array, digest: Digest): Uint8Array {
  const { seq, at, principal, kind, rolloutId, hostId, targetId, data } = event
  return digest(utf8(domain + canonicalJson({ seq, at, principal, kind, rolloutId, hostId, targetId, data, prevHash: hex(prevHash) }, -frameDepth)))
}

/** Links events behind `prev` (null: at the beginning), giving each its number and its hash. @throws TypeError as `eventHash` does. */
export function linkEvents(prev: ChainHead | null, events: readonly Omit<ChainEvent, 'seq'>[], digest: Digest): LinkedEvent[] {
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

/** How a chain can be false; the sentence says where. */
export type ChainFault = 'GAP' | 'BROKEN_LINK' | 'CHANGED' | 'UNREADABLE' | 'REWRITTEN' | 'TRUNCATED'

export type ChainVerdict =
  | { readonly ok: true; readonly count: number; readonly head: Uint8Array; readonly seq: string }
  | { readonly ok: false; readonly count: number; readonly seq: string; readonly code: ChainFault; readonly says: string }

export interface ChainBounds {
  /** Verifying begins behind this event, which is taken as true; from the first event when it is not given. */
  readonly from?: ChainHead | null
  /**
   * A head seen earlier and kept elsewhere. Without it nobody can notice that the end was cut off, nor that whoever can
   * write the table wrote it anew with new hashes: a chain proves order and completeness only up to a head one trusts.
   */
  readonly known?: ChainHead | null
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, index) => byte === b[index])

/** Postgres's bigint has 19 digits. What is longer, or is no number, is not repeated in a sentence. */
const isSeq = (seq: unknown): seq is string => typeof seq === 'string' && /^[1-9]\d{0,18}$/.test(seq)

export class ChainVerifier {
  private seq: bigint
  private head: Uint8Array
  private readonly known: ChainHead | null
  private count = 0
  private fault: Extract<ChainVerdict, { ok: false }> | null = null

  /** @throws RangeError when `known` lies before `from`, where it can never be met. */
  constructor(private readonly digest: Digest, { from = null, known = null }: ChainBounds = {}) {
    this.seq = BigInt(from?.seq ?? 0)
    this.head = from?.hash ?? genesisHash
    this.known = known
    if (!known) return
    if (BigInt(known.seq) < this.seq) throw new RangeError(`the known head ${known.seq} lies before ${this.seq}, where verifying begins`)
    if (BigInt(known.seq) === this.seq && !same(known.hash, this.head)) this.fail(known.seq, 'REWRITTEN', `Event ${known.seq} is not the one that was seen before.`)
  }

  /** @returns false at the first event that does not fit; later ones are not looked at. Never throws, whatever an export holds. */
  add(event: LinkedEvent): boolean {
    if (this.fault) return false
    const expected = (this.seq + 1n).toString()
    if (event.seq !== expected) {
      const seq = isSeq(event.seq) ? event.seq : expected
      return this.fail(seq, 'GAP', `Event ${expected} is missing: ${isSeq(event.seq) ? event.seq : 'something without a number'} stands in its place.`)
    }
    if (!(event.prevHash instanceof Uint8Array) || !(event.hash instanceof Uint8Array)) return this.fail(expected, 'UNREADABLE', `Event ${expected} carries no hash.`)
    if (!same(event.prevHash, this.head)) return this.fail(expected, 'BROKEN_LINK', `Event ${expected} does not continue the one before it.`)
    let hash: Uint8Array
    try { hash = eventHash(event, event.prevHash, this.digest) } catch { return this.fail(expected, 'UNREADABLE', `Event ${expected} holds what no event can hold.`) }
    if (!same(hash, event.hash)) return this.fail(expected, 'CHANGED', `Event ${expected} was changed after it was written: its content does not give its hash.`)
    if (this.known?.seq === expected && !same(hash, this.known.hash)) return this.fail(expected, 'REWRITTEN', `Event ${expected} is not the one that was seen before: the log was written anew.`)
    this.seq += 1n
    this.head = hash
    this.count += 1
    return true
  }

  verdict(): ChainVerdict {
    if (this.fault) return this.fault
    if (this.known && BigInt(this.known.seq) > this.seq) {
      return { ok: false, count: this.count, seq: this.known.seq, code: 'TRUNCATED', says: `The chain ends at ${this.seq}, but event ${this.known.seq} was seen before.` }
    }
    return { ok: true, count: this.count, head: this.head, seq: this.seq.toString() }
  }

  private fail(seq: string, code: ChainFault, says: string): false {
    this.fault = { ok: false, count: this.count, seq, code, says }
    return false
  }
}

/** Verifies events in order. Reads no further than the first one that does not fit. @throws RangeError as `ChainVerifier` does. */
export function verifyChain(events: Iterable<LinkedEvent>, digest: Digest, bounds: ChainBounds = {}): ChainVerdict {
  const verifier = new ChainVerifier(digest, bounds)
  for (const event of events) if (!verifier.add(event)) break
  return verifier.verdict()
}
