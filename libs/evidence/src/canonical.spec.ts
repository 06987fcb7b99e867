import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, depthMax, storable } from './canonical.js'

const runs = Number(process.env['UPTIDE_PROPERTY_RUNS'] ?? 2_000)

/** Values that may stand in an event: what JSON can say, short of what `canonicalJson` refuses. */
const number = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value)))
const text = fc.string({ unit: 'binary', maxLength: 12 }).map((value) => value.replaceAll('\u0000', '').toWellFormed())
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof({ maxDepth: 5 }, fc.constant(null), fc.boolean(), number, text, fc.array(tie('tree'), { maxLength: 4 }), fc.dictionary(text, tie('tree'), { maxKeys: 5 })),
}))

/** The digits of a number without exponent, as Postgres's numeric prints them. */
function plainDecimal(value: number): string {
  const [digits = '', exponent = '0'] = String(value).split('e')
  const negative = digits.startsWith('-')
  const [whole = '', fraction = ''] = digits.replace('-', '').split('.')
  const point = whole.length + Number(exponent)
  const all = (whole + fraction).padStart(whole.length + fraction.length + Math.max(0, -point), '0').padEnd(point, '0')
  const at = Math.max(point, 0)
  return `${negative && value !== 0 ? '-' : ''}${all.slice(0, at) || '0'}${all.length > at ? `.${all.slice(at)}` : ''}`
}

/** What jsonb does to a document: keys by length and then by bytes, the last of equal ones, numbers as numeric. */
function throughJsonb(value: unknown): unknown {
  const write = (item: unknown): string => {
    if (typeof item === 'number') return plainDecimal(item)
    if (Array.isArray(item)) return `[${item.map(write).join(', ')}]`
    if (typeof item !== 'object' || item === null) return JSON.stringify(item)
    const keys = Object.keys(item).sort((a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)))
    return `{${keys.map((key) => `${JSON.stringify(key)}: ${write((item as Record<string, unknown>)[key])}`).join(', ')}}`
  }
  return JSON.parse(write(value))
}

const shuffled = (value: unknown): unknown => Array.isArray(value)
  ? value.map(shuffled)
  : typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).reverse().map(([key, member]) => [key, shuffled(member)])) : value

describe('canonical JSON', () => {
  it('writes the examples of RFC 8785', () => {
    expect(canonicalJson({ numbers: [4.50, 2e-3, 0.000000000000000000000000001], string: '€$\u000f\nA\'B"\\\\"/', literals: [null, true, false] }))
      .toBe('{"literals":[null,true,false],"numbers":[4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}')
    const sorted = canonicalJson({ '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 })
    expect([...sorted.matchAll(/:(\d)/g)].map((match) => match[1]).join('')).toBe('2467153')
  })

  it('is the same text whatever the order of keys, for any value', () => {
    fc.assert(fc.property(tree, (value) => { expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value)) }), { numRuns: runs, verbose: 1 })
  })

  it('is the same text after a stay in a jsonb column, for any value', () => {
    fc.assert(fc.property(tree, (value) => { expect(canonicalJson(throughJsonb(value))).toBe(canonicalJson(value)) }), { numRuns: runs, verbose: 1 })
  })

  it('says everything: parsing it gives the value back', () => {
    // JSON has no -0, and neither has jsonb.
    const positiveZero = (key: string, value: unknown): unknown => Object.is(value, -0) ? 0 : value
    fc.assert(fc.property(tree, (value) => { expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value, positiveZero))) }), { numRuns: runs, verbose: 1 })
  })

  it('tells different values apart', () => {
    const texts = [null, false, true, 0, 1, '0', '1', '', 'null', [], {}, [[]], [{}], { a: 1 }, { a: '1' }, { a: [1] }, { a: 1, b: 1 }, ['a', 1], ['a,1']].map((value) => canonicalJson(value))
    expect(new Set(texts).size).toBe(texts.length)
  })

  it.each<readonly [string, unknown]>([
    ['undefined', undefined], ['undefined in an array', [undefined]], ['a hole in an array', Object.assign([1], { length: 2 })], ['a function', { a: () => 1 }], ['a bigint', 1n],
    ['NaN', Number.NaN], ['infinity', Number.POSITIVE_INFINITY], ['an integer beyond 2^53', 2 ** 53], ['1e300', 1e300], ['NUL', 'a\u0000b'], ['NUL in a key', { 'a\u0000': 1 }],
    ['a lone surrogate', '\ud800'], ['a lone surrogate in a key', { '\udc00': 1 }], ['a date', new Date(0)], ['a map', new Map([['a', 1]])], ['bytes', new Uint8Array(2)],
  ])('refuses %s', (_name, value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError)
  })

  it('refuses what is nested too deep, without exhausting the stack', () => {
    const nested = (levels: number): unknown => { let value: unknown = 1; for (let i = 0; i < levels; i++) value = [value]; return value }
    expect(canonicalJson(nested(depthMax))).toHaveLength(2 * depthMax + 1)
    expect(() => canonicalJson(nested(depthMax + 1))).toThrow(/nested/)
    expect(() => canonicalJson(storable(nested(1_000_000)))).toThrow(/nested/)
  })

  it('leaves a key called __proto__ an ordinary key', () => {
    const value: unknown = JSON.parse('{"b":1,"__proto__":{"polluted":true}}')
    expect(canonicalJson(value)).toBe('{"__proto__":{"polluted":true},"b":1}')
    expect(canonicalJson(storable(value))).toBe('{"__proto__":{"polluted":true},"b":1}')
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
})

describe('what can be stored', () => {
  it('is clean text, dates as text, and nothing that is nothing', () => {
    const at = new Date(Date.UTC(2026, 10, 24))
    expect(storable({ 'a\u0000': 'b\u0000c\ud800', at, gone: undefined, call: () => 1, list: [undefined, Number.NaN, 1], none: null }))
      .toEqual({ a: 'bc\ufffd', at: '2026-11-24T00:00:00.000Z', list: [null, null, 1], none: null })
  })

  it('is written canonically, unless it is too deep or too large, for anything at all', () => {
    const hostile = fc.anything({ withDate: true, withMap: true, withSet: true, withTypedArray: true, withNullPrototype: true, withObjectString: true, withSparseArray: true, maxDepth: 4 })
    fc.assert(fc.property(hostile, (value) => {
      const clean = storable({ value })
      let written: string
      try { written = canonicalJson(clean) } catch (error) { expect(String(error)).toMatch(/nested|2\^53|plain|a bigint/); return }
      expect(written).toBe(canonicalJson(throughJsonb(JSON.parse(JSON.stringify(clean)))))
    }), { numRuns: runs, verbose: 1 })
  })

  it('is what it was, when it already could be stored', () => {
    fc.assert(fc.property(tree, (value) => { expect(canonicalJson(storable(value))).toBe(canonicalJson(value)) }), { numRuns: runs, verbose: 1 })
  })
})
