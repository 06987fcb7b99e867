// What went wrong on the way, as one typed fault with a sentence: what happened, to which host, what to do next.
import { ChannelError } from '../port.js'
import { sanitise } from '@uptide/livepatch'

interface Ssh2Fault extends Error { readonly level?: string; readonly code?: string }

const unreachable: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTDOWN', 'EADDRNOTAVAIL'])

/** Words of a library or a host, made inert and short. */
export const quote = (text: string): string => sanitise(text, 200)

/** A fault before the session stood. */
export function connectionFault(host: string, port: number, error: Ssh2Fault): ChannelError {
  const at = `${host} port ${port}`
  if (error.level === 'client-timeout' || /timed out while waiting for handshake/i.test(error.message)) return new ChannelError('CONNECT_TIMEOUT', `${at} accepted the connection but did not finish the SSH handshake in time.`, true)
  if (error.level === 'client-authentication') return new ChannelError('AUTH_FAILED', `${at} does not accept our key for this login. Check the login and its authorized_keys.`, false)
  if (error.code !== undefined && unreachable.has(error.code)) return new ChannelError('UNREACHABLE', `${at} cannot be reached (${error.code}).`, true)
  if (error.code === 'ECONNRESET' || error.level === 'client-socket') return new ChannelError('UNREACHABLE', `${at} closed the connection (${quote(error.code ?? error.message)}).`, true)
  if (/host denied|verification failed/i.test(error.message)) return new ChannelError('HOST_KEY_CHANGED', `${at} showed another host key than the pinned one. Do not go on before you know why; then accept the new one: uptide host retrust.`, false)
  if (/no matching|handshake failed/i.test(error.message)) return new ChannelError('PROTOCOL', `${at} and Uptide have no common SSH algorithm, or its host key is of another type than the pinned one (${quote(error.message)}).`, false)
  return new ChannelError('PROTOCOL', `${at} does not speak SSH as expected (${quote(error.message)}).`, true)
}
