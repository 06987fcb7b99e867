// One SSH connection to one host with a pinned key; used once, then thrown away.
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2'
import { ChannelError, type SshAddress } from '../port.js'
import { connectionFault } from './faults.js'
import { type HostKey, parseHostKey, proofsOf, sameKey } from './host-key.js'
import type { SshLimits } from './limits.js'

export interface Connection {
  readonly client: Client
  readonly hostKey: HostKey
  destroy(): void
}

/** Strict key exchange (Terrapin) is offered by ssh2 but not required: ChaCha20 is left out, CTR only with encrypt-then-MAC. */
const algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'ecdh-sha2-nistp521', 'diffie-hellman-group16-sha512'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  compress: ['none'],
} satisfies NonNullable<ConnectConfig['algorithms']>

function config(address: SshAddress, pinned: HostKey, limits: SshLimits, seen: { changed: boolean }): ConnectConfig {
  return {
    host: address.host, port: address.port, username: address.user, privateKey: address.privateKey,
    ...(address.passphrase === undefined ? {} : { passphrase: address.passphrase }),
    readyTimeout: limits.readyMs, timeout: limits.tcpMs, keepaliveInterval: limits.keepaliveMs, keepaliveCountMax: limits.keepaliveMisses,
    agentForward: false, tryKeyboard: false, authHandler: ['publickey'],
    algorithms: { ...algorithms, serverHostKey: [...(proofsOf[pinned.type] ?? [])] } as ConnectConfig['algorithms'],
    hostVerifier: (blob: Buffer) => {
      const same = sameKey(blob, pinned.blob)
      seen.changed ||= !same
      return same
    },
  }
}

/** @throws ChannelError */
export function connect(address: SshAddress, signal: AbortSignal, limits: SshLimits): Promise<Connection> {
  const pinned = parseHostKey(address.hostKey)
  if (!pinned) return Promise.reject(new ChannelError('HOST_KEY_UNKNOWN', `No usable host key is pinned for ${address.host}. Enrol it with its key.`, false))
  if (signal.aborted) return Promise.reject(new ChannelError('CANCELLED', `The connection to ${address.host} was cancelled.`, true))
  return new Promise((done, fail) => {
    const client = new Client()
    const seen = { changed: false }
    let settled = false
    const settle = (end: () => void): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      end()
    }
    const give = (error: ChannelError): void => { settle(() => { client.destroy(); fail(error) }) }
    const abort = (): void => { give(new ChannelError('CANCELLED', `The connection to ${address.host} was cancelled.`, true)) }
    // ssh2's own readyTimeout starts late and covers less; this one covers everything.
    const timer = setTimeout(() => { give(new ChannelError('CONNECT_TIMEOUT', `${address.host} port ${address.port} accepted the connection but no session stood within ${(limits.tcpMs + limits.readyMs) / 1000} s.`, true)) }, limits.tcpMs + limits.readyMs)
    signal.addEventListener('abort', abort, { once: true })
    // Stays for good: ssh2 may emit errors long after the end, and one without a listener would end the process.
    client.on('error', (error) => {
      give(seen.changed
        ? new ChannelError('HOST_KEY_CHANGED', `${address.host} port ${address.port} showed another host key than the pinned one. Do not go on before you know why; then accept the new one: uptide host retrust.`, false)
        : connectionFault(address.host, address.port, error))
    })
    client.on('close', () => { give(new ChannelError(seen.changed ? 'HOST_KEY_CHANGED' : 'UNREACHABLE', `${address.host} port ${address.port} ended the connection before a session stood.`, !seen.changed)) })
    // A server that asks back is refused: nothing is forwarded, ever.
    client.on('tcp connection', (_details, _accept, reject) => { reject() })
    client.on('x11', (_details, _accept, reject) => { reject() })
    client.on('change password', () => { give(new ChannelError('AUTH_FAILED', `${address.host} wants a new password; keys only are used here.`, false)) })
    client.on('ready', () => { settle(() => { done({ client, hostKey: pinned, destroy: () => { client.destroy() } }) }) })
    try { client.connect(config(address, pinned, limits, seen)) } catch {
      // The words of a key parser may quote the key.
      give(new ChannelError('AUTH_FAILED', `The stored key for ${address.host} cannot be used.`, false))
    }
  })
}

/** Opens the one channel. `command` is a constant but for the byte count of our own text. @throws ChannelError */
export function openChannel(connection: Connection, host: string, command: string, limits: SshLimits): Promise<ClientChannel> {
  return new Promise((done, fail) => {
    let settled = false
    const give = (error: ChannelError): void => { if (!settled) { settled = true; clearTimeout(timer); connection.destroy(); fail(error) } }
    const timer = setTimeout(() => { give(new ChannelError('CHANNEL_REFUSED', `${host} did not open a channel within ${limits.channelMs / 1000} s.`, true)) }, limits.channelMs)
    connection.client.once('close', () => { give(new ChannelError('CONTACT_LOST', `${host} ended the connection while a channel was being opened.`, true)) })
    try {
      connection.client.exec(command, (error, stream) => {
        if (error) { give(new ChannelError('CHANNEL_REFUSED', `${host} refused to run the gate.`, true)); return }
        if (settled) { stream.destroy(); return }
        settled = true
        clearTimeout(timer)
        done(stream)
      })
    } catch { give(new ChannelError('CONTACT_LOST', `${host} ended the connection while a channel was being opened.`, true)) }
  })
}
