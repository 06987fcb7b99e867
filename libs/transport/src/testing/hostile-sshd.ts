// Hosts that misbehave, over real sockets: one SSH server whose behaviour is the login's name. A permanent fixture.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server as TcpServer, type Socket } from 'node:net'
import ssh2, { type ServerChannel } from 'ssh2'
import { makePrivateKey } from '../ssh/credential.js'

export const hostileKey = makePrivateKey()

type Behaviour = (channel: ServerChannel) => void

/** Answers whatever is asked with what `reply` makes of the nonce. */
const answering = (reply: (nonce: string, channel: ServerChannel) => void): Behaviour => (channel) => {
  channel.on('data', (chunk: Buffer) => { reply(chunk.toString('latin1').slice(0, 16), channel) })
}

/** Writes for ever, as fast as the other side takes it. */
function flood(channel: ServerChannel, piece: Buffer, to: { write(chunk: Buffer): boolean; once(event: 'drain', then: () => void): unknown }): void {
  let open = true
  channel.once('close', () => { open = false })
  const pour = (): void => {
    for (let i = 0; i < 64 && open; i++) if (!to.write(piece)) { to.once('drain', pour); return }
    if (open) setImmediate(pour)
  }
  pour()
}

const mebibyte = Buffer.alloc(1024 * 1024, 'x')

/** login name -> what its channel does once the gate was asked for. */
export const behaviours: Readonly<Record<string, Behaviour>> = {
  'well': answering((nonce, channel) => { channel.write(`${nonce} + gate=uptide version=1\n${nonce} = 1\n`) }),
  'silent': () => {},
  'stdout-flood': (channel) => { flood(channel, mebibyte, channel) },
  'stderr-flood': (channel) => { flood(channel, mebibyte, channel.stderr as never) },
  'line-flood': (channel) => { flood(channel, Buffer.from('\n'.repeat(65_536)), channel) },
  'reply-flood': answering((nonce, channel) => { flood(channel, Buffer.from(`${nonce} + ${'a'.repeat(4000)}\n`.repeat(50)), channel) }),
  'endless-line': answering((nonce, channel) => { channel.write(`${nonce} + `); flood(channel, mebibyte, channel) }),
  'nonsense': answering((_nonce, channel) => { channel.write('bash: uptide-gate: command not found\n') }),
  'json': answering((_nonce, channel) => { channel.write('{"ok":true}\n') }),
  'wrong-nonce': answering((_nonce, channel) => { channel.write(`${'f'.repeat(16)} = 0\n`) }),
  'wrong-count': answering((nonce, channel) => { channel.write(`${nonce} + a=1\n${nonce} = 7\n`) }),
  'binary': answering((nonce, channel) => { channel.write(Buffer.concat([Buffer.from(`${nonce} + a=`), Buffer.from([0xff, 0xfe, 0x00, 0x0a])])) }),
  'terminal': answering((nonce, channel) => { channel.write(`${nonce} ! BAD_REQUEST %1B]52;c;aGk=%07%1B[2J%E2%80%AEevil\n`) }),
  'never-ends': answering((nonce, channel) => { channel.write(`${nonce} + a=1\n`) }),
  'drips': answering((nonce, channel) => { const timer = setInterval(() => { channel.write(`${nonce} + a=1\n`) }, 50); channel.on('close', () => { clearInterval(timer) }) }),
  'exits': (channel) => { channel.exit(0); channel.end() },
  'exits-127': (channel) => { channel.stderr.write('sh: 1: uptide-gate: not found\n'); channel.exit(127); channel.end() },
  'signalled': (channel) => { channel.exit('KILL'); channel.end() },
  'closes-mid-reply': answering((nonce, channel) => { channel.write(`${nonce} + a=1\n`); setTimeout(() => { channel.close() }, 20) }),
  'speaks-first': (channel) => { channel.write('Welcome to this host!\n') },
}

export interface HostileHost { readonly port: number; readonly hostKey: string; close(): Promise<void> }

const publicOf = (privateKey: string): string => {
  const key = ssh2.utils.parseKey(privateKey)
  if (key instanceof Error || Array.isArray(key)) throw new Error('the fixture key cannot be read')
  return `${key.type} ${key.getPublicSSH().toString('base64')}`
}

async function listen(server: { listen(port: number, host: string): unknown; address(): unknown; once(event: string, then: () => void): unknown; on(event: string, then: () => void): unknown }): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server as unknown as NodeJS.EventEmitter, 'listening')
  return (server.address() as AddressInfo).port
}

/** An SSH server whose handshake is right, and what comes then is not. */
export async function startHostile(): Promise<HostileHost> {
  const privateKey = makePrivateKey()
  const clients = new Set<ssh2.Connection>()
  const server = new ssh2.Server({ hostKeys: [privateKey] }, (client) => {
    clients.add(client)
    let user = ''
    client.on('error', () => {})
    client.on('close', () => { clients.delete(client) })
    client.on('authentication', (context) => {
      user = context.username
      if (user === 'auth-refused') context.reject(['publickey'])
      else if (user === 'auth-keyboard') context.reject(['keyboard-interactive'])
      else if (user !== 'auth-stalls') context.accept()
    })
    client.on('session', (accept, reject) => {
      if (user === 'channel-refused') { reject(); return }
      const session = accept()
      session.on('exec', (acceptExec, rejectExec) => {
        if (user === 'exec-refused') { rejectExec(); return }
        if (user === 'exec-stalls') return
        // Asks back for what is never given.
        if (user === 'asks-back') { client.forwardOut('127.0.0.1', 1, '127.0.0.1', 22, () => {}); client.x11('127.0.0.1', 1, () => {}) }
        const channel = acceptExec()
        channel.on('error', () => {})
        ;(behaviours[user] ?? behaviours['well'] as Behaviour)(channel)
      })
    })
  })
  const port = await listen(server as never)
  return { port, hostKey: publicOf(privateKey), close: async () => { for (const client of clients) client.end(); await new Promise<void>((done) => { server.close(() => { done() }) }) } }
}

/** What happens before there is any SSH: each is a TCP server of its own. */
export const tcpBehaviours: Readonly<Record<string, (socket: Socket) => void>> = {
  'accepts and says nothing': () => {},
  'drips its banner': (socket) => { const timer = setInterval(() => { socket.write('S') }, 40); socket.on('close', () => { clearInterval(timer) }) },
  'sends a banner without end': (socket) => { socket.write('SSH-2.0-'); const timer = setInterval(() => { socket.write(Buffer.alloc(65_536, 'x')) }, 5); socket.on('close', () => { clearInterval(timer) }) },
  'speaks HTTP': (socket) => { socket.write('HTTP/1.1 400 Bad Request\r\n\r\n') },
  'hangs up at once': (socket) => { socket.destroy() },
  'sends garbage after its banner': (socket) => { socket.write('SSH-2.0-x\r\n'); socket.write(Buffer.alloc(4096, 0xff)) },
}

export async function startTcp(behave: (socket: Socket) => void): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server: TcpServer = createServer((socket) => { sockets.add(socket); socket.on('error', () => {}); socket.on('close', () => { sockets.delete(socket) }); behave(socket) })
  const port = await listen(server as never)
  return { port, close: async () => { for (const socket of sockets) socket.destroy(); await new Promise<void>((done) => { server.close(() => { done() }) }) } }
}
