import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Place, Sealer, Secret } from './seal.js'

const key = new Uint8Array(32).fill(1)
const place: Place = { table: 'credentials', row: '019b-a', field: 'sealed' }

describe('a secret', () => {
  it('prints as stars in JSON, in text and in what a log makes of it', () => {
    const secret = new Secret('hunter2')
    expect([JSON.stringify({ secret }), String(secret), `${secret}`, inspect(secret), inspect({ deep: [secret] }, { showHidden: true })].join(' ')).not.toContain('hunter2')
    expect(secret.reveal()).toBe('hunter2')
  })
})

describe('what is sealed', () => {
  it('opens where it was sealed, whatever it is', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const sealer = new Sealer(key)
      return sealer.open(place, sealer.seal(place, new Secret(text))).reveal() === text.toWellFormed()
    }))
  })

  it('is never the same twice, and does not hold its text', () => {
    const sealer = new Sealer(key)
    const [one, two] = [sealer.seal(place, new Secret('hunter2')), sealer.seal(place, new Secret('hunter2'))]
    expect(Buffer.from(one).equals(Buffer.from(two))).toBe(false)
    expect(Buffer.from(one).includes('hunter2')).toBe(false)
  })

  it.each([
    ['another table', { ...place, table: 'tokens' }], ['another row', { ...place, row: '019b-b' }], ['another field', { ...place, field: 'other' }],
  ])('does not open in %s', (_where, elsewhere) => {
    const sealer = new Sealer(key)
    expect(() => sealer.open(elsewhere, sealer.seal(place, new Secret('x')))).toThrow(/does not open/)
  })

  it('does not open with another key, and says which key is wanted', () => {
    const sealed = new Sealer(key).seal(place, new Secret('hunter2'))
    expect(() => new Sealer(new Uint8Array(32).fill(2)).open(place, sealed)).toThrow('What is sealed in credentials 019b-a does not open: the installation\'s key is not the one it was sealed with, or the value was changed. Give the key it was sealed with (UPTIDE_KEY_FILE).')
  })

  it('does not open when any one of its bits was changed, or when it was cut short', () => {
    const sealer = new Sealer(key)
    const sealed = sealer.seal(place, new Secret('hunter2'))
    for (let bit = 0; bit < sealed.length * 8; bit += 3) {
      const changed = Uint8Array.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => sealer.open(place, changed), `bit ${bit}`).toThrow(/does not open|form that is not known/)
    }
    for (let length = 0; length < sealed.length; length += 5) expect(() => sealer.open(place, sealed.subarray(0, length)), `${length} bytes`).toThrow(/does not open|form that is not known/)
  })

  it('needs a key of 32 bytes', () => {
    expect(() => new Sealer(new Uint8Array(16))).toThrow(/must have 32 bytes, and has 16/)
  })
})
