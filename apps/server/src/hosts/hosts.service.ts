// Enrolling hosts, and asking them what they are.
import { Injectable } from '@nestjs/common'
import type { BodyOf, Host } from '@uptide/contracts/api'
import { matches } from '@uptide/rollout'
import { type HostRow, newId } from '@uptide/store'
import { ChannelError, checkPrivateKey, fetchHostKey, fingerprint, parseHostKey } from '@uptide/transport'
import { credentialPlace } from '../execute/reach.js'
import { probeHost } from '../execute/probe.js'
import { refuse } from '../http/problem.js'
import { Parts } from '../roles/parts.js'
import { Secret } from '../secrets/seal.js'
import { selectorOf } from './selector.js'
import { hostShape } from './shape.js'

type HostAdd = Required<Pick<BodyOf<'host.add'>, 'name' | 'address' | 'port' | 'user' | 'gateMode' | 'labels'>> & BodyOf<'host.add'>

/** The key and its fingerprint as a person confirmed them. */
interface TrustedKey { readonly hostKey: string; readonly hostKeySha256: string }

@Injectable()
export class HostsService {
  constructor(private readonly parts: Parts) {}

  /** One page of the names that a selector and the filter leave, and one more, so that the page knows whether another follows. */
  async namesWhere(where: string, filter: { labels?: Record<string, string>; kernel?: string | undefined; state?: string | undefined }, page: { after?: string | undefined; limit: number }): Promise<string[]> {
    const selector = selectorOf(where, 'where')
    const hosts = await this.parts.store.selectHosts({ ...(filter.labels ? { labels: filter.labels } : {}), ...(filter.kernel === undefined ? {} : { kernel: filter.kernel }) })
    const named = hosts.filter((host) => (page.after === undefined || host.name > page.after) && (filter.state === undefined || host.state === filter.state) && matches(selector, { ...host, kernel: host.kernelRelease }))
    return named.slice(0, page.limit + 1).map((host) => host.name)
  }

  async add(body: HostAdd, principal: string): Promise<Host> {
    const { name, address, port, user, gateMode, labels } = body
    const credential = await this.parts.store.findCredential(body.credential ?? 'default')
    if (!credential) throw refuse(422, 'CREDENTIAL_UNKNOWN', `There is no credential ${body.credential ?? 'default'}.`, { next: 'Store a key first: uptide host add … --key FILE' })
    const key = await this.trusted(body)
    const made = await this.parts.store.addHost({ name, address, port, user, gateMode, labels, ...key, credentialId: credential.id }, principal)
    if (!made.ok) throw refuse(409, 'NAME_TAKEN', `There is a host ${name} already.`)
    return hostShape((await this.probe(await this.row(name), principal)).row)
  }

  /** The key given, or the shown one when its fingerprint was confirmed; else the request is refused with what the host shows. */
  private async trusted(body: HostAdd): Promise<TrustedKey> {
    if (body.hostKey !== undefined) {
      const parsed = parseHostKey(body.hostKey)
      if (!parsed) throw refuse(422, 'BAD_HOST_KEY', 'The host key cannot be read: it is written "TYPE BASE64", as in a known_hosts file.')
      return { hostKey: body.hostKey, hostKeySha256: fingerprint(parsed.blob) }
    }
    const shown = await this.shownKey(body.address, body.port)
    if (body.hostKeySha256 === undefined) {
      throw refuse(409, 'HOST_KEY_NOT_CONFIRMED', `${body.name} shows the key ${shown.hostKeySha256}. It is pinned only when a person confirms it.`, { next: `Compare it on the host's console, then: uptide host add … --fingerprint ${shown.hostKeySha256}`, more: { ...shown } })
    }
    this.confirmed(body.hostKeySha256, shown, body.name)
    return shown
  }

  private confirmed(wanted: string, shown: TrustedKey, name: string): void {
    if (wanted.replace(/=+$/, '') !== shown.hostKeySha256) throw refuse(409, 'HOST_KEY_DIFFERS', `${name} shows ${shown.hostKeySha256}, not the key that was confirmed.`, { next: 'Find out why before going on: somebody may stand between.', more: { ...shown } })
  }

  private async shownKey(address: string, port: number): Promise<TrustedKey> {
    try { return await fetchHostKey(address, port, new AbortController().signal) } catch (error) {
      if (error instanceof ChannelError) throw refuse(422, error.fault, error.message)
      throw error
    }
  }

  async row(name: string): Promise<HostRow> {
    const row = await this.parts.store.findHost(name)
    if (!row) throw refuse(404, 'NO_SUCH_HOST', `There is no host ${name}.`)
    return row
  }

  /** Asks the host now and records what it says. */
  async probe(row: HostRow, principal: string): Promise<{ row: HostRow; problem: { code: string; says: string } | null }> {
    const found = await probeHost(this.parts.reach, { ...row, gateMode: row.gateMode as 'installed' | 'zero-install' })
    await this.parts.store.recordProbe({ id: row.id, name: row.name }, found, principal)
    return { row: await this.row(row.name), problem: 'facts' in found ? null : found }
  }

  async retrust(name: string, body: { hostKeySha256: string; reason: string }, principal: string): Promise<Host> {
    const row = await this.row(name)
    const shown = await this.shownKey(row.address, row.port)
    this.confirmed(body.hostKeySha256, shown, name)
    await this.parts.store.retrustHost({ id: row.id, name }, shown, body.reason, principal)
    return hostShape(await this.row(name))
  }

  async addCredential(body: { name: string; privateKey: string; passphrase?: string | undefined }, principal: string) {
    const checked = checkPrivateKey(body.privateKey, body.passphrase)
    if (!checked.ok) throw refuse(422, checked.code, checked.says)
    const id = newId()
    const secret = new Secret(JSON.stringify({ privateKey: body.privateKey, ...(body.passphrase === undefined ? {} : { passphrase: body.passphrase }) }))
    const { ok } = await this.parts.store.addCredential({ id, name: body.name, publicKey: checked.publicKey, sealed: this.parts.sealer.seal(credentialPlace(id), secret), keyVersion: this.parts.sealer.keyVersion }, principal)
    if (!ok) throw refuse(409, 'NAME_TAKEN', `There is a credential ${body.name} already.`)
    return (await this.credentials()).find((one) => one.id === id)
  }

  async credentials() {
    return (await this.parts.store.listCredentials()).map((row) => ({ ...row, kind: 'ssh-key' as const, createdAt: row.createdAt.toISOString() }))
  }
}
