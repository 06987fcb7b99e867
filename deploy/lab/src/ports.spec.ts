import { createServer } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { choosePorts, PORT_FIRST, PORT_LAST, portIsFree } from './ports.js'

const all = (): Promise<boolean> => Promise.resolve(true)
const SEED = 20261124

describe('Hosts get ports of the loopback', () => {
  test('their own of last time when it is free, and the next free one otherwise', async () => {
    const busy = new Set([PORT_FIRST + 1, PORT_FIRST + 100])
    expect(await choosePorts([undefined, PORT_FIRST + 100, PORT_FIRST + 50, undefined], 0, (port) => Promise.resolve(!busy.has(port))))
      .toEqual([PORT_FIRST, PORT_FIRST + 2, PORT_FIRST + 50, PORT_FIRST + 3])
  })

  test('round the end of the range, never two the same, never one outside (seed printed on failure)', async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }), { maxLength: 40 }), fc.integer({ min: 0, max: 1_000_000 }),
      async (had, start) => {
        const ports = await choosePorts(had, start, (port) => Promise.resolve(port % 3 !== 0))
        expect(new Set(ports).size).toBe(had.length)
        for (const port of ports) expect(port >= PORT_FIRST && port <= PORT_LAST && port % 3 !== 0).toBe(true)
      },
    ), { seed: SEED })
    expect(await choosePorts([undefined, undefined], PORT_LAST - PORT_FIRST, all)).toEqual([PORT_LAST, PORT_FIRST])
  })

  test('and an error when none is left', async () => {
    await expect(choosePorts([undefined], 0, () => Promise.resolve(false))).rejects.toThrow('No port of 127.0.0.1')
  })

  test('where a listener is, a port is not free; where it has gone, it is', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    expect(await portIsFree(port)).toBe(false)
    await new Promise((resolve) => server.close(resolve))
    expect(await portIsFree(port)).toBe(true)
  })
})
