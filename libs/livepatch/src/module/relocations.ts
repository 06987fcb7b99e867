// The relocations of one section, found by place.

export interface Symbol { readonly nameAt: number; readonly value: number; readonly size: number; readonly section: number; readonly type: number }
export interface Relocation { readonly offset: number; readonly symbol: Symbol; readonly addend: number }

export class Relocations {
  /** Ascending; of several at one place, all. */
  private readonly sorted: readonly Relocation[]
  private readonly byPlace = new Map<number, Relocation | 'several'>()

  constructor(list: readonly Relocation[]) {
    this.sorted = list.toSorted((a, b) => a.offset - b.offset)
    for (const one of list) this.byPlace.set(one.offset, this.byPlace.has(one.offset) ? 'several' : one)
  }

  has(offset: number): boolean { return this.byPlace.has(offset) }

  /** The one at that place; null when there is none, or several whose sum nobody but the loader knows. */
  at(offset: number): Relocation | null {
    const found = this.byPlace.get(offset)
    return found === undefined || found === 'several' ? null : found
  }

  all(): readonly Relocation[] { return this.sorted }

  /** Places from `start` up to, not including, `end`. */
  placesIn(start: number, end: number): number[] {
    let low = 0; let high = this.sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.sorted[middle]?.offset ?? 0) < start) low = middle + 1; else high = middle
    }
    const places: number[] = []
    for (let i = low; i < this.sorted.length; i++) {
      const offset = this.sorted[i]?.offset ?? end
      if (offset >= end) break
      places.push(offset)
    }
    return places
  }
}
