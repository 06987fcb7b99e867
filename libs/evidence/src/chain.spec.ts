import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ChainEvent, ChainVerifier, eventHash, genesisHash, linkEvents, type LinkedEvent, verifyChain } from './chain.js'

/** Mutations of each kind; five kinds, the last a third of it: a plain run tries 13,000. */
const runs = Number(process.env['UPTIDE_PROPERTY_RUNS'] ?? 3_000)

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const uuid = (n: number): string => `01920000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
const kinds = ['target.transitioning', 'target.patched', 'rollout.held', 'host.enrolled']

function history(length: number): LinkedEvent[] {
  return linkEvents(null, Array.from({ length }, (_, n) => ({
    at: new Date(Date.UTC(2026, 10, 24) + n * 7).toISOString(), principal: n % 3 === 0 ? 'user:admin' : 'system:reconcile', kind: kinds[n % kinds.length] ?? '',
    rolloutId: n % 2 === 0 ? uuid(n) : null, hostId: n % 4 === 0 ? null : uuid(n + 100), targetId: n % 5 === 0 ? uuid(n + 200) : null,
    data: { from: 'pending', to: 'checking', n, detail: { host: `web-${n}.größe`, blockers: [{ pid: 4_000 + n, command: 'cat' }] } },
  })), sha256)
}

const whole = history(20)
const head = { seq: '20', hash: whole[19]?.hash ?? genesisHash }
const at = fc.nat({ max: whole.length - 1 })
const flipped = (bytes: Uint8Array, bit: number): Uint8Array => { const copy = Uint8Array.from(bytes); copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7)); return copy }
/** One bit of one character: may become a surrogate or a control character, as on a damaged disk. */
const flippedText = (text: string, place: number, bit: number): string => {
  const i = place % text.length
  return text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ (1 << bit)) + text.slice(i + 1)
}
const replaced = (index: number, change: (event: LinkedEvent) => LinkedEvent): LinkedEvent[] => whole.map((event, i) => i === index ? change(event) : event)
const fields = ['seq', 'at', 'principal', 'kind', 'rolloutId', 'hostId', 'targetId', 'data', 'prevHash', 'hash'] as const

function flip(event: LinkedEvent, field: (typeof fields)[number], place: number, bit: number): LinkedEvent {
  if (field === 'hash' || field === 'prevHash') return { ...event, [field]: flipped(event[field], place % 256) }
  if (field !== 'data') { const value = event[field]; return { ...event, [field]: value === null ? uuid(place) : flippedText(value, place, bit) } }
  const text = JSON.stringify(event.data)
  try { return { ...event, data: JSON.parse(flippedText(text, place, bit)) as Record<string, unknown> } } catch { return { ...event, data: { damaged: flippedText(text, place, bit) } } }
}

describe('the chain of events', () => {
  it('holds from the beginning, in pieces, and behind any event of it', () => {
    expect(verifyChain(whole, sha256, { known: head })).toEqual({ ok: true, count: 20, head: head.hash, seq: '20' })
    expect(verifyChain([], sha256)).toEqual({ ok: true, count: 0, head: genesisHash, seq: '0' })
    fc.assert(fc.property(at, (cut) => {
      const prev = whole[cut]
      if (!prev) throw new Error('there is no such event')
      const rest = whole.slice(cut + 1).map(({ hash: _hash, prevHash: _prev, seq: _seq, ...event }) => event)
      expect(linkEvents(prev, rest, sha256)).toEqual(whole.slice(cut + 1))
      expect(verifyChain(whole.slice(cut + 1), sha256, { from: prev, known: head })).toMatchObject({ ok: true, seq: '20' })
    }), { verbose: 1 })
  })

  it('has the same hashes on every machine and in every version', () => {
    const [first] = linkEvents(null, [{ at: '2026-11-24T02:00:00.000Z', principal: 'user:admin', kind: 'host.enrolled', rolloutId: null, hostId: uuid(1), targetId: null, data: { name: 'web-1', n: 1 } }], sha256)
    const text = `uptide-event@v1\n{"at":"2026-11-24T02:00:00.000Z","data":{"n":1,"name":"web-1"},"hostId":"${uuid(1)}","kind":"host.enrolled","prevHash":"${'0'.repeat(64)}","principal":"user:admin","rolloutId":null,"seq":"1","targetId":null}`
    expect(Buffer.from(first?.hash ?? []).toString('hex')).toBe(createHash('sha256').update(text, 'utf8').digest('hex'))
  })

  it('hashes text of every plane as UTF-8', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\u0000', '')), (text) => {
      const seen: Uint8Array[] = []
      const event: ChainEvent = { seq: '1', at: 'x', principal: text, kind: 'k', rolloutId: null, hostId: null, targetId: null, data: {} }
      eventHash(event, genesisHash, (bytes) => { seen.push(bytes); return sha256(bytes) })
      expect(Buffer.from(seen[0] ?? []).toString('utf8')).toContain(`"principal":${JSON.stringify(text)}`)
    }), { numRuns: 300, verbose: 1 })
  })

  it('breaks when one bit of anything is changed', () => {
    fc.assert(fc.property(at, fc.constantFrom(...fields), fc.nat(), fc.nat({ max: 15 }), (index, field, place, bit) => {
      const verdict = verifyChain(replaced(index, (event) => flip(event, field, place, bit)), sha256, { known: head })
      expect(verdict.ok).toBe(false)
      if (!verdict.ok) expect(verdict.count, verdict.says).toBe(index)
    }), { numRuns: runs, verbose: 1 })
  })

  it('breaks when events are taken out', () => {
    fc.assert(fc.property(at, fc.integer({ min: 1, max: 5 }), (index, count) => {
      const verdict = verifyChain([...whole.slice(0, index), ...whole.slice(index + count)], sha256, { known: head })
      expect(verdict).toMatchObject({ ok: false, code: index + count >= whole.length ? 'TRUNCATED' : 'GAP' })
    }), { numRuns: runs, verbose: 1 })
  })

  it('breaks when events change places, with their numbers or without', () => {
    fc.assert(fc.property(at, at, fc.boolean(), (a, b, renumber) => {
      fc.pre(a !== b)
      const swapped = whole.map((event, i) => {
        const other = i === a ? whole[b] : i === b ? whole[a] : event
        return renumber ? { ...(other ?? event), seq: event.seq } : (other ?? event)
      })
      expect(verifyChain(swapped, sha256, { known: head })).toMatchObject({ ok: false, count: Math.min(a, b) })
    }), { numRuns: runs, verbose: 1 })
  })

  it('breaks when an event is put in, a copy or one made to fit', () => {
    fc.assert(fc.property(at, at, fc.boolean(), fc.boolean(), (place, from, forged, renumbered) => {
      const prev = whole[place - 1] ?? null
      const copy = whole[from] ?? whole[0]
      if (!copy) throw new Error('there is no such event')
      const put = forged ? linkEvents(prev, [{ ...copy, kind: 'rollout.approved' }], sha256) : [copy]
      const rest = whole.slice(place).map((event) => renumbered ? { ...event, seq: (BigInt(event.seq) + 1n).toString() } : event)
      expect(verifyChain([...whole.slice(0, place), ...put, ...rest], sha256, { known: head }).ok).toBe(false)
    }), { numRuns: runs, verbose: 1 })
  })

  it('breaks against a head seen before, when it was cut or written anew with fitting hashes', () => {
    fc.assert(fc.property(at, fc.integer({ min: 0, max: 30 }), fc.boolean(), (index, length, anew) => {
      const kept = whole.slice(0, index)
      const forged = anew ? linkEvents(kept.at(-1) ?? null, Array.from({ length }, () => ({ ...whole[0] as LinkedEvent, kind: 'rollout.approved' })), sha256) : []
      const chain = [...kept, ...forged]
      expect(verifyChain(chain, sha256).ok, 'without a head it holds').toBe(true)
      expect(verifyChain(chain, sha256, { known: head })).toMatchObject({ ok: false, code: chain.length >= 20 ? 'REWRITTEN' : 'TRUNCATED', seq: '20' })
    }), { numRuns: Math.ceil(runs / 3), verbose: 1 })
  })

  it('is refused, not fallen over, when an export holds nonsense', () => {
    const anything = fc.anything(); const someHash = fc.oneof(fc.constant(genesisHash), anything)
    const nonsense = fc.record({
      seq: fc.oneof(fc.constant('1'), anything), at: anything, principal: anything, kind: anything, rolloutId: anything, hostId: anything, targetId: anything,
      data: anything, prevHash: someHash, hash: someHash,
    })
    fc.assert(fc.property(nonsense, (event) => {
      const verdict = verifyChain([event as LinkedEvent], sha256)
      expect(verdict).toMatchObject({ ok: false, count: 0 })
      if (!verdict.ok) expect(verdict.says).toMatch(/^(Event \d+ |The chain )[^\u0000-\u001f\u001b]*\.$/)
    }), { numRuns: 1_000, verbose: 1 })
  })

  it('is read no further than its first fault', () => {
    const verifier = new ChainVerifier(sha256)
    const [first, , third, fourth] = whole
    if (!first || !third || !fourth) throw new Error('the history is too short')
    expect([verifier.add(first), verifier.add(third), verifier.add(fourth)]).toEqual([true, false, false])
    expect(verifier.verdict()).toEqual({ ok: false, count: 1, seq: '3', code: 'GAP', says: 'Event 2 is missing: 3 stands in its place.' })
  })

  it('cannot be asked about a head before its beginning', () => {
    const [first, second] = whole
    if (!first || !second) throw new Error('the history is too short')
    expect(() => verifyChain([], sha256, { from: second, known: first })).toThrow(RangeError)
    expect(verifyChain([], sha256, { from: second, known: { seq: '2', hash: first.hash } })).toMatchObject({ ok: false, code: 'REWRITTEN' })
  })

  it('takes data that was canonical by itself, however deep', () => {
    let deep: unknown = 1
    for (let i = 0; i < 40; i++) deep = { deep }
    expect(verifyChain(linkEvents(null, [{ ...whole[0] as LinkedEvent, data: { attempt: { outcome: deep } } }], sha256), sha256).ok).toBe(true)
  })
})
