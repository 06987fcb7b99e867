import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { simBench } from './conformance/sim-bench.js'
import { GateStream } from './gate-stream.js'

const encode = (text: string) => new TextEncoder().encode(text)
const nonce = (digit: number) => digit.toString(16).padStart(16, '0')

const served = () => {
  const bench = simBench('klp61')
  const out: string[] = []
  const exits: number[] = []
  const stream = new GateStream(bench.gate.session(), (text) => out.push(text), (exit) => exits.push(exit))
  return { bench, stream, lines: () => out.join('').split('\n').slice(0, -1), exits }
}

describe('a gate behind a byte stream', () => {
  it('answers the same however the bytes are cut', async () => {
    await fc.assert(fc.asyncProperty(fc.infiniteStream(fc.integer({ min: 1, max: 700 })), async (cuts) => {
      const { bench, stream, lines, exits } = served()
      const { bytes, sha256 } = bench.build('v1')
      const requests = [encode(`${nonce(1)} hello 1\n${nonce(2)} lease ${bench.hostId} 7 a1\n${nonce(3)} stage ${sha256} ${bytes.byteLength}\n`), bytes, encode(`${nonce(4)} staged ${sha256}\n`)]
      const all = new Uint8Array(requests.flatMap((part) => [...part]))
      for (let at = 0; at < all.byteLength;) {
        const size = cuts.next().value as number
        await stream.push(all.slice(at, at + size))
        at += size
      }
      expect(lines().slice(2)).toEqual([`${nonce(1)} = 2`, `${nonce(2)} = 0`, `${nonce(3)} = 0`, `${nonce(4)} + staged=1`, `${nonce(4)} = 1`])
      expect(exits).toEqual([])
    }), { verbose: 1, numRuns: 50 })
  })

  it.each([
    ['a line without a nonce', 'hello 1\n', 64],
    ['a line that never ends', 'a'.repeat(5000), 64],
    ['another version', `${nonce(1)} hello 2\n`, 65],
    ['a verb before the greeting', `${nonce(1)} facts\n`, 64],
    ['an argument that a shell could read', `${nonce(1)} hello $(id)\n`, 64],
  ])('ends with its status at %s', async (_name, text, exit) => {
    const { stream, exits } = served()
    await stream.push(encode(text))
    expect(exits).toEqual([exit])
    await stream.push(encode(`${nonce(1)} hello 1\n`))
    expect(exits).toEqual([exit])
  })

  it('frees the host when the other side goes away, and keeps the floor', async () => {
    const { bench, stream } = served()
    await stream.push(encode(`${nonce(1)} hello 1\n${nonce(2)} lease ${bench.hostId} 9 a\n`))
    expect(bench.gate.lockedBy).not.toBeNull()
    stream.close()
    expect(bench.gate.lockedBy).toBeNull()
    const leased = async (token: number) => {
      const said: string[] = []
      const next = new GateStream(bench.gate.session(), (text) => said.push(text), () => {})
      await next.push(encode(`${nonce(1)} hello 1\n${nonce(2)} lease ${bench.hostId} ${token} a\n`))
      next.close()
      return said.at(-1)?.split(' ').slice(1, 3).join(' ').trim()
    }
    expect([await leased(8), await leased(9), await leased(10), await leased(9)]).toEqual(['! STALE_TOKEN', '= 0', '= 0', '! STALE_TOKEN'])
  })

  it('refuses another host id', async () => {
    const { bench, stream } = served()
    await stream.push(encode(`${nonce(1)} hello 1\n${nonce(2)} lease ${bench.hostId} 9 a\n`))
    stream.close()
    const said: string[] = []
    const exits: number[] = []
    const other = new GateStream(bench.gate.session(), (text) => said.push(text), (exit) => exits.push(exit))
    await other.push(encode(`${nonce(1)} hello 1\n${nonce(2)} lease another 10 a\n`))
    expect([said.at(-1)?.includes('WRONG_HOST'), exits]).toEqual([true, [77]])
  })
})
