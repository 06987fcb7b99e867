// An SSH server for simulated hosts: real sockets, real handshakes, no kernel behind them. Never used for real hosts.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import ssh2 from 'ssh2'
import { makePrivateKey } from './credential.js'

export interface SshServer { readonly port: number; readonly hostKey: string; close(): Promise<void> }

export interface ServeOptions {
  /** Private host key; a fresh Ed25519 key when absent. */
  readonly hostKey?: string
  /** The only public key that is let in, `TYPE BASE64`. */
  readonly clientKey: string
  readonly port?: number
  /** Is there a host of this name? The login's name says which one is meant. */
  knows(username: string): boolean
  /** Serves one session; `stream` ends when the other side goes away. */
  session(stream: Duplex & { exit(code: number): void }, username: string, command: string): void
}

export async function serveSsh(options: ServeOptions): Promise<SshServer> {
  const hostKey = options.hostKey ?? makePrivateKey()
  const allowed = parsePublic(options.clientKey)
  const clients = new Set<ssh2.Connection>()
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
    clients.add(client)
    let username = ''
    client.on('error', () => {})
    client.on('close', () => { clients.delete(client) })
    client.on('authentication', (context) => {
      if (context.method !== 'publickey' || !options.knows(context.username) || context.key.algo !== allowed.type || !context.key.data.equals(allowed.getPublicSSH())) { context.reject(['publickey']); return }
      if (context.signature && context.blob && allowed.verify(context.blob, context.signature, context.hashAlgo) !== true) { context.reject(['publickey']); return }
      username = context.username
      context.accept()
    })
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec, _reject, { command }) => { options.session(acceptExec() as Duplex & { exit(code: number): void }, username, command) })
    })
  })
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  const own = parsePublic(hostKey)
  return {
    port: (server.address() as AddressInfo).port,
    hostKey: `${own.type} ${own.getPublicSSH().toString('base64')}`,
    close: async () => {
      for (const client of clients) client.end()
      await new Promise<void>((done) => { server.close(() => { done() }) })
    },
  }
}

function parsePublic(text: string): ssh2.ParsedKey {
  const parsed = ssh2.utils.parseKey(text)
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (!key || key instanceof Error) throw new Error('serveSsh: the key cannot be read')
  return key
}
