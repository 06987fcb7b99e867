// From a host's row to an open channel: its credential unsealed for this one call.
import { readFileSync } from 'node:fs'
import type { GateChannel, Road } from '@uptide/transport'
import type { Store } from '@uptide/store'
import type { Sealer } from '../secrets/seal.js'

export interface Reachable { readonly address: string; readonly port: number; readonly user: string; readonly gateMode: 'installed' | 'zero-install'; readonly hostKey: string; readonly credentialId: string }

/** What is sealed: the key and its passphrase. */
export interface SshSecret { readonly privateKey: string; readonly passphrase?: string }
export const credentialPlace = (id: string) => ({ table: 'credentials', row: id, field: 'sealed' })

/** The stored credential is of no use: sealed with another key, or gone. Says why, and nothing of its content. */
export class CredentialUnusable extends Error { override readonly name = 'CredentialUnusable' }

/** Unsealed keys are kept this long, so that a wave does not unseal one 500 times. */
const keptMs = 30_000

export class Reach {
  private readonly secrets = new Map<string, { secret: Promise<SshSecret>; until: number }>()
  private readonly gateText: string

  constructor(private readonly store: Pick<Store, 'loadCredential'>, private readonly sealer: Sealer, private readonly road: Road, gateFile: string) {
    this.gateText = readFileSync(gateFile, 'utf8')
  }

  /** @throws ChannelError, CredentialUnusable */
  async open(host: Reachable, signal: AbortSignal): Promise<GateChannel> {
    const { privateKey, passphrase } = await this.secretOf(host.credentialId)
    return this.road.open({
      host: host.address, port: host.port, user: host.user, hostKey: host.hostKey, privateKey, ...(passphrase === undefined ? {} : { passphrase }),
      gate: host.gateMode === 'installed' ? { mode: 'installed' } : { mode: 'zero-install', text: this.gateText },
    }, signal)
  }

  private secretOf(id: string): Promise<SshSecret> {
    const known = this.secrets.get(id)
    if (known && known.until > Date.now()) return known.secret
    const secret = this.unseal(id)
    this.secrets.set(id, { secret, until: Date.now() + keptMs })
    secret.catch(() => this.secrets.delete(id))
    return secret
  }

  private async unseal(id: string): Promise<SshSecret> {
    const row = await this.store.loadCredential(id)
    if (!row) throw new CredentialUnusable(`credential ${id} does not exist`)
    try { return JSON.parse(this.sealer.open(credentialPlace(id), row.sealed).reveal()) as SshSecret } catch (error) {
      // A parser's words may quote what it parsed.
      throw new CredentialUnusable(error instanceof SyntaxError ? `The sealed credential ${id} holds no key.` : (error as Error).message)
    }
  }
}
