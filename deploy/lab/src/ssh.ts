// Commands on a host through the system's own ssh, its key pinned.
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { run } from './run.js'
import type { Finished, RunOptions } from './run.js'
import type { LabHost } from './state.js'

/** Where the host's pinned key stands, in the form ssh reads. */
export const knownHostsFile = (host: Pick<LabHost, 'labDir' | 'name'>): string => path.join(host.labDir, 'hosts', host.name, 'known_hosts')

export async function writeKnownHosts(host: LabHost): Promise<void> {
  await mkdir(path.dirname(knownHostsFile(host)), { recursive: true })
  await writeFile(knownHostsFile(host), `[${host.address}]:${host.port} ${host.hostKey}\n`)
}

/** ssh's arguments up to and including the destination. Nothing of the user's own configuration is read. */
export function sshArgs(host: LabHost): string[] {
  return [
    '-F', 'none', '-p', String(host.port), '-i', host.privateKeyPath, '-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none', '-o', 'BatchMode=yes',
    '-o', 'StrictHostKeyChecking=yes', '-o', `UserKnownHostsFile="${knownHostsFile(host)}"`, '-o', 'GlobalKnownHostsFile=/dev/null',
    // The cheapest handshake under emulation: 0.65 s instead of more than 1.
    '-o', 'KexAlgorithms=curve25519-sha256', '-o', 'ConnectTimeout=30', '-o', 'LogLevel=ERROR',
    `${host.user}@${host.address}`,
  ]
}

/** Words for the shell at the other end, each quoted so that it arrives as it is. */
export const quoted = (argv: readonly string[]): string => argv.map((word) => `'${word.replaceAll('\'', '\'\\\'\'')}'`).join(' ')

/** How long a command may take unless said otherwise: a stall that the kernel's signal ends takes 17 s. */
const SSH_TIMEOUT_MS = 60_000

/**
 * Runs one command on the host and returns its status and output; status 255 is ssh's own failure.
 * `argv` arrives as it is: for a shell, say ['sh', '-c', text]. `input` is its standard input.
 */
export function labSsh(host: LabHost, argv: readonly string[], options: Pick<RunOptions, 'input' | 'timeoutMs'> = {}): Promise<Finished> {
  return run('ssh', [...sshArgs(host), quoted(argv)], { timeoutMs: SSH_TIMEOUT_MS, ...options })
}
