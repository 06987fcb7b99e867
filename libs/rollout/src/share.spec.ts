import { describe, expect, it } from 'vitest'
import { roomOf, type Sharer } from './share.js'
import { Chance } from './testing/seed.js'

const one = (id: string, wants: number, parts: Partial<Sharer> = {}): Sharer => ({ id, priority: 50, weight: 1, inFlight: 0, wants, ...parts })
const rooms = (max: number, sharers: readonly Sharer[]): number[] => sharers.map((each) => roomOf(max, each.id, sharers))

describe('places under the installation\'s limit', () => {
  it('are shared by weight among equals, and what one does not want goes to the others', () => {
    expect(rooms(10, [one('a', 100), one('b', 100)])).toEqual([5, 5])
    expect(rooms(12, [one('a', 100, { weight: 3 }), one('b', 100)])).toEqual([9, 3])
    expect(rooms(10, [one('a', 2), one('b', 100)])).toEqual([2, 8])
    expect(rooms(3, [one('a', 9), one('b', 9), one('c', 9), one('d', 9)])).toEqual([1, 1, 1, 0])
  })

  it('go to the higher priority first', () => {
    expect(rooms(10, [one('a', 100), one('b', 8, { priority: 90 })])).toEqual([2, 8])
    expect(rooms(10, [one('a', 100), one('b', 100, { priority: 90 })])).toEqual([0, 10])
  })

  it('stay with the hosts that hold them, whatever the rank', () => {
    expect(rooms(10, [one('a', 6, { inFlight: 6 }), one('b', 100, { priority: 90 })])).toEqual([0, 4])
  })

  it('are never given twice, and none lie idle while somebody wants them', () => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const chance = new Chance(seed)
      const max = chance.whole(1, 40)
      const sharers = Array.from({ length: chance.whole(1, 8) }, (_, i) => one(`r${i}`, chance.whole(0, 30), { priority: chance.pick([10, 50, 90]), weight: chance.whole(1, 5) }))
      const given = rooms(max, sharers)
      const sum = given.reduce((total, n) => total + n, 0)
      expect(sum, `seed ${seed}`).toBe(Math.min(max, sharers.reduce((total, each) => total + each.wants, 0)))
      given.forEach((n, i) => { expect(n, `seed ${seed}`).toBeLessThanOrEqual(sharers[i]?.wants ?? 0) })
    }
  })
})
