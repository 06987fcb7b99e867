// Chance for specs: mulberry32, so that a run is named by its seed.
export class Chance {
  private state: number
  constructor(seed: number) { this.state = seed >>> 0 }

  /** In [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let mixed = this.state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }

  hit(probability: number): boolean { return this.next() < probability }

  /** A whole number from `least` to `most`. */
  whole(least: number, most: number): number { return least + Math.floor(this.next() * (most - least + 1)) }

  pick<T>(from: readonly T[]): T {
    const one = from[Math.floor(this.next() * from.length)]
    if (one === undefined) throw new Error('nothing to pick from')
    return one
  }
}
