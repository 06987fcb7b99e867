// A host's row as the API shows it.
import type { Host } from '@uptide/contracts/api'
import type { HostRow } from '@uptide/store'
import { fingerprint, parseHostKey } from '@uptide/transport'

export function hostShape(row: HostRow): Host {
  const key = parseHostKey(row.hostKey)
  return {
    id: row.id, name: row.name, address: row.address, port: row.port, user: row.user, gateMode: row.gateMode as Host['gateMode'], labels: row.labels as Host['labels'],
    state: row.state as Host['state'], reason: row.reason as Host['reason'], hostKeySha256: key ? fingerprint(key.blob) : 'unreadable', credential: row.credential.name,
    kernelRelease: row.kernelRelease, kernelBuildId: row.kernelBuildId, arch: row.arch, bootId: row.bootId, mechanism: row.mechanism, taint: row.taint,
    loaded: row.loaded as Host['loaded'], factsAt: row.factsAt?.toISOString() ?? null, createdAt: row.createdAt.toISOString(),
  }
}
