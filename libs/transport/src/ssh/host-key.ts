// Host keys: read, named by fingerprint, compared in constant time, fetched without giving anything away.
import { createHash, timingSafeEqual } from 'node:crypto'
import { Client } from 'ssh2'
import { ChannelError } from '../port.js'
import { connectionFault } from './faults.js'
import { sshLimits } from './limits.js'

export interface HostKey { readonly type: string; readonly blob: Buffer }

/** Algorithms by which a pinned key may be proved; an RSA key never by SHA-1. */
export const proofsOf: Readonly<Record<string, readonly string[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'], 'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'], 'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
}

/** Reads `TYPE BASE64`. Null when it is none, of an unknown type, or the blob says another type than the word. */
export function parseHostKey(text: string): HostKey | null {
  const [type = '', base64 = ''] = text.trim().split(/\s+/)
  if (!(type in proofsOf) || !/^[A-Za-z0-9+/]+={0,3}$/.test(base64)) return null
  const blob = Buffer.from(base64, 'base64')
  return typeOfBlob(blob) === type ? { type, blob } : null
}

function typeOfBlob(blob: Buffer): string | null {
  if (blob.length < 4) return null
  const length = blob.readUInt32BE(0)
  return length > 0 && length <= 64 && blob.length >= 4 + length ? blob.toString('latin1', 4, 4 + length) : null
}

/** `SHA256:…` as ssh-keygen -l prints it. */
export const fingerprint = (blob: Uint8Array): string => `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`

export const sameKey = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

/**
 * The key a host shows now, as `TYPE BASE64`, and its fingerprint. The connection ends before any credential is sent.
 * @throws ChannelError
 */
export function fetchHostKey(host: string, port: number, signal: AbortSignal, limits = sshLimits): Promise<{ hostKey: string; hostKeySha256: string }> {
  return new Promise((done, fail) => {
    const client = new Client()
    const finish = (end: () => void): void => { clearTimeout(timer); signal.removeEventListener('abort', abort); client.destroy(); end() }
    const abort = (): void => { finish(() => { fail(new ChannelError('CANCELLED', `Asking ${host} for its key was cancelled.`, true)) }) }
    const timer = setTimeout(() => { finish(() => { fail(new ChannelError('CONNECT_TIMEOUT', `${host} port ${port} accepted the connection and showed no host key within ${limits.readyMs / 1000} s.`, true)) }) }, limits.tcpMs + limits.readyMs)
    signal.addEventListener('abort', abort, { once: true })
    client.on('error', (error) => { finish(() => { fail(connectionFault(host, port, error)) }) })
    client.connect({
      host, port, username: 'uptide', readyTimeout: limits.readyMs, timeout: limits.tcpMs, authHandler: ['none'],
      algorithms: { serverHostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-512', 'rsa-sha2-256'] },
      hostVerifier: (blob: Buffer) => {
        const type = typeOfBlob(blob)
        finish(() => {
          if (type !== null && type in proofsOf) done({ hostKey: `${type} ${blob.toString('base64')}`, hostKeySha256: fingerprint(blob) })
          else fail(new ChannelError('PROTOCOL', `${host} shows a host key of a type that is not supported.`, false))
        })
        return false
      },
    })
  })
}
