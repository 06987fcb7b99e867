// Ports of this machine's loopback that lead to the hosts' sshd.
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'

/** Below the range that the kernel hands out by itself (32768 on), above the well-known ones. */
export const PORT_FIRST = 22_200
export const PORT_LAST = 29_999

/**
 * Chooses a port for each host: the one it had before when that is free, else the next free one from `start` on,
 * round the end. Throws when there are none left.
 */
export async function choosePorts(had: readonly (number | undefined)[], start: number, isFree: (port: number) => Promise<boolean>): Promise<number[]> {
  const taken = new Set<number>()
  const chosen: (number | undefined)[] = []
  for (const port of had) {
    const again = port !== undefined && port >= PORT_FIRST && port <= PORT_LAST && !taken.has(port) && await isFree(port)
    if (again) taken.add(port)
    chosen.push(again ? port : undefined)
  }
  const size = PORT_LAST - PORT_FIRST + 1
  let tried = 0
  for (const [index, port] of chosen.entries()) {
    if (port !== undefined) continue
    for (; tried < size && chosen[index] === undefined; tried++) {
      const candidate = PORT_FIRST + (start + tried) % size
      if (taken.has(candidate) || !await isFree(candidate)) continue
      taken.add(candidate)
      chosen[index] = candidate
    }
    if (chosen[index] === undefined) throw new Error(`No port of 127.0.0.1 between ${PORT_FIRST} and ${PORT_LAST} is free for a lab host.`)
  }
  return chosen as number[]
}

/** Whether 127.0.0.1 can be listened on at this port now. */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** A number from a lab's folder, so that labs in different folders look for ports in different places first. */
export const spread = (dir: string, size: number): number => createHash('sha256').update(dir).digest().readUInt32BE() % size
