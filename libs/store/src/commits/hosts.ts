// Hosts, credentials and tokens: each change with its event.
import { storable } from '@uptide/evidence'
import { type Database, isUniqueViolation, write } from '../database.js'
import { newId } from '../ids.js'
import type { HostFacts, Principal } from '../port.js'
import { writeFacts } from './host-state.js'

export interface NewHost {
  readonly name: string; readonly address: string; readonly port: number; readonly user: string; readonly gateMode: 'installed' | 'zero-install'
  readonly hostKey: string; readonly hostKeySha256: string; readonly credentialId: string; readonly labels: Readonly<Record<string, string>>
}

export async function addHost(db: Database, host: NewHost, principal: Principal): Promise<{ ok: true; id: string } | { ok: false; code: 'NAME_TAKEN' }> {
  const id = newId()
  const { hostKeySha256, ...row } = host
  try {
    return await write(db, principal, async ({ tx, emit }) => {
      await tx.host.create({ data: { id, ...row } })
      emit({ kind: 'host.enrolled', hostId: id, data: { host: host.name, address: host.address, port: host.port, user: host.user, gateMode: host.gateMode, hostKeySha256, labels: host.labels } })
      return { ok: true as const, id }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { ok: false, code: 'NAME_TAKEN' }
    throw error
  }
}

/** What a probe found: facts, or why there are none. */
export async function recordProbe(db: Database, host: { id: string; name: string }, found: { facts: HostFacts } | { code: string; says: string }, principal: Principal): Promise<void> {
  await write(db, principal, async ({ tx, emit }) => {
    if ('facts' in found) {
      await writeFacts(tx, [{ hostId: host.id, facts: storable(found.facts) }])
      emit({ kind: 'host.probed', hostId: host.id, data: { host: host.name, kernelRelease: found.facts.kernelRelease, bootId: found.facts.bootId, mechanism: found.facts.mechanism, taint: found.facts.taint, loaded: found.facts.loaded.map((one) => one.name) } })
      return
    }
    // A changed key is no outage: somebody must look before the host is touched again.
    const state = found.code === 'HOST_KEY_CHANGED' ? 'quarantined' : 'unreachable'
    const { count } = await tx.host.updateMany({ where: { id: host.id, state: { not: 'quarantined' } }, data: { state, reason: storable({ code: found.code, says: found.says }) } })
    if (count > 0) emit({ kind: `host.${state}`, hostId: host.id, data: { host: host.name, reason: { code: found.code, says: found.says } } })
  })
}

export async function retrustHost(db: Database, host: { id: string; name: string }, key: { hostKey: string; hostKeySha256: string }, reason: string, principal: Principal): Promise<void> {
  await write(db, principal, async ({ tx, emit }) => {
    await tx.host.update({ where: { id: host.id }, data: { hostKey: key.hostKey, state: 'enrolled', reason: { code: 'RETRUSTED', says: reason } } })
    emit({ kind: 'host.retrusted', hostId: host.id, data: { host: host.name, hostKeySha256: key.hostKeySha256, says: reason } })
  })
}

export interface NewCredential { readonly id: string; readonly name: string; readonly publicKey: string; readonly sealed: Uint8Array; readonly keyVersion: number }

export async function addCredential(db: Database, credential: NewCredential, principal: Principal): Promise<{ ok: boolean }> {
  try {
    return await write(db, principal, async ({ tx, emit }) => {
      await tx.credential.create({ data: { ...credential, kind: 'ssh-key', sealed: Buffer.from(credential.sealed) } })
      emit({ kind: 'credential.added', data: { name: credential.name, publicKey: credential.publicKey } })
      return { ok: true }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { ok: false }
    throw error
  }
}

export async function addToken(db: Database, token: { id: string; name: string; hash: Uint8Array }, principal: Principal): Promise<{ ok: boolean }> {
  try {
    return await write(db, principal, async ({ tx, emit }) => {
      await tx.token.create({ data: { ...token, hash: Buffer.from(token.hash) } })
      emit({ kind: 'token.created', data: { name: token.name } })
      return { ok: true }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { ok: false }
    throw error
  }
}

export async function revokeToken(db: Database, name: string, principal: Principal): Promise<boolean> {
  return write(db, principal, async ({ tx, emit }) => {
    const { count } = await tx.token.updateMany({ where: { name, revokedAt: null }, data: { revokedAt: new Date() } })
    if (count > 0) emit({ kind: 'token.revoked', data: { name } })
    return count > 0
  })
}

/** At most one write a minute for each token: it is a hint for people, not a log. */
export async function touchToken(db: Database, id: string): Promise<void> {
  await db.prisma.$executeRaw`UPDATE tokens SET last_used_at = now() WHERE id = ${id}::uuid AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`
}
