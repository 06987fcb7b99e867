// A door in front of a real server: shut for a while, or frozen as a network is that swallows everything.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface Door {
  readonly port: number
  /** Nothing passes any more, and nobody is told. */
  freeze(): void
  close(): void
}

/** @param letIn so many connections are let in, then none for `shutMs`, then all. Absent: always all. */
export async function openDoor(to: { readonly host: string; readonly port: number }, { letIn = Number.POSITIVE_INFINITY, shutMs = 0 } = {}): Promise<Door> {
  const sockets = new Set<Socket>()
  let count = 0
  let shutUntil = Number.POSITIVE_INFINITY
  let frozen = false
  const server = createServer((inside) => {
    count += 1
    if (count === letIn) shutUntil = Date.now() + shutMs
    if (count > letIn && Date.now() < shutUntil) { inside.destroy(); return }
    const outside = connect(to.port, to.host)
    for (const socket of [inside, outside]) {
      sockets.add(socket)
      socket.on('error', () => { inside.destroy(); outside.destroy() })
    }
    if (!frozen) inside.pipe(outside).pipe(inside)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    freeze: () => {
      frozen = true
      for (const socket of sockets) { socket.unpipe(); socket.pause() }
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** The same database address, through a door. */
export async function throughDoor(url: string, ways?: Parameters<typeof openDoor>[1]): Promise<Door & { readonly url: string }> {
  const address = new URL(url)
  const door = await openDoor({ host: address.hostname, port: Number(address.port) }, ways)
  address.port = String(door.port)
  return { ...door, url: address.toString() }
}
