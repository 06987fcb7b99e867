// Chance from a seed: the same number gives the same fleet, faults and all (law 9).

export interface Chance {
  /** From 0 up to, not including, 1. */
  next(): number
  /** A whole number from 0 to `below` - 1. */
  below(below: number): number
  /** A whole number from `least` to `most`. */
  whole(least: number, most: number): number
  /** True with this probability. */
  happens(probability: number): boolean
  pick<T>(from: readonly T[]): T
  /** `bytes` random bytes in hex. */
  hex(bytes: number): string
  /** A UUID in lower case. */
  uuid(): string
  /** A seed for something of its own, so that one consumer more does not change the others. */
  fork(name: string): Chance
}

/** mulberry32: 32 bits of state, passes gjrand, and is the same everywhere. */
export function seeded(seed: number): Chance {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number) => Math.floor(next() * limit)
  const hex = (bytes: number) => Array.from({ length: bytes }, () => below(256).toString(16).padStart(2, '0')).join('')
  return {
    whole: (least, most) => least + below(most - least + 1),
    next, below, hex,
    happens: (probability) => next() < probability,
    pick: <T>(from: readonly T[]): T => {
      if (from.length === 0) throw new Error('nothing to pick from')
      return from[below(from.length)]!
    },
    uuid: () => {
      const digits = hex(16)
      return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-a${digits.slice(17, 20)}-${digits.slice(20, 32)}`
    },
    fork: (name) => seeded([...name].reduce((hash, character) => (Math.imul(hash, 31) + character.codePointAt(0)!) >>> 0, seed >>> 0)),
  }
}
