import { describe, expect, it } from 'vitest'
import { Coalescer } from './coalesce.js'

const later = () => {
  let open = (): void => {}
  const gate = new Promise<void>((done) => { open = done })
  return { gate, open }
}

describe('a coalescer', () => {
  it('takes those who ask in the same turn together, and answers each with his own', async () => {
    const batches: number[][] = []
    const coalescer = new Coalescer<number, number>(async (asks) => { batches.push([...asks]); return asks.map((ask) => ask * 10) })
    expect(await Promise.all([1, 2, 3].map((n) => coalescer.ask(n)))).toEqual([10, 20, 30])
    expect(batches).toEqual([[1, 2, 3]])
  })

  it('puts whoever asks while one is under way into the next, and never runs two at once', async () => {
    const first = later()
    const batches: number[][] = []
    let running = 0
    const coalescer = new Coalescer<number, number>(async (asks) => {
      expect(++running).toBe(1)
      batches.push([...asks])
      if (batches.length === 1) await first.gate
      running -= 1
      return asks
    })
    const one = coalescer.ask(1)
    await new Promise((done) => { setTimeout(done, 5) })
    const others = [2, 3, 4].map((n) => coalescer.ask(n))
    first.open()
    expect(await Promise.all([one, ...others])).toEqual([1, 2, 3, 4])
    expect(batches).toEqual([[1], [2, 3, 4]])
  })

  it('tells a fault to those whom it concerns, and goes on with the next', async () => {
    let runs = 0
    const coalescer = new Coalescer<number, number>(async (asks) => { if (++runs === 1) throw new Error('the database is away'); return asks })
    await expect(Promise.all([coalescer.ask(1), coalescer.ask(2)])).rejects.toThrow('the database is away')
    expect(await coalescer.ask(3)).toBe(3)
  })

  it('bounds a batch', async () => {
    const sizes: number[] = []
    const coalescer = new Coalescer<number, number>(async (asks) => { sizes.push(asks.length); return asks })
    await Promise.all(Array.from({ length: 1_201 }, (_, n) => coalescer.ask(n)))
    expect(sizes).toEqual([500, 500, 201])
  })
})
