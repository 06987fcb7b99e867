// The SSH road: connect, open the one channel, meet the gate.
import type { GateChannel, Road, SshAddress } from '../port.js'
import { connect, openChannel } from './connect.js'
import { fingerprint } from './host-key.js'
import { type SshLimits, sshLimits } from './limits.js'
import { SshSession } from './session.js'

/** A forced command takes the place of this name; where there is none, the shell says that it knows no such program. */
const installedCommand = 'uptide-gate'
/** What goes ahead of the gate's text, so that it knows how it came. */
const zeroInstallHead = 'UPTIDE_MODE=zero-install\n'

/** The only thing that varies is a number that we counted ourselves. */
const zeroInstallCommand = (bytes: number): string => `exec /bin/sh -c 'eval "$(head -c ${bytes})"'`

/** @param shorter limits, for tests. */
export function sshRoad(shorter: Partial<SshLimits> = {}): Road {
  const limits = { ...sshLimits, ...shorter }
  return {
    open: async (address: SshAddress, signal: AbortSignal): Promise<GateChannel> => {
      const connection = await connect(address, signal, limits)
      const text = address.gate.mode === 'zero-install' ? zeroInstallHead + address.gate.text : null
      const stream = await openChannel(connection, address.host, text === null ? installedCommand : zeroInstallCommand(Buffer.byteLength(text)), limits)
      const session = new SshSession(address.host, fingerprint(connection.hostKey.blob), stream, () => { connection.destroy() }, limits, signal)
      connection.client.on('close', () => { session.connectionClosed() })
      if (text !== null) await session.install(text)
      return session
    },
  }
}
