// API tokens: `uptide_<id>_<secret>`. Only a hash is stored; the prefix lets secret scanners find a leaked one.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { newId, type Store } from '@uptide/store'

const secretBytes = 32
const pattern = /^uptide_([0-9a-f]{32})_([A-Za-z0-9_-]{43})$/
/** A revoked token is refused at the latest after this long. */
const trustMs = 1_000

export const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest()

const dashed = (hex: string): string => `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`

/** Makes a token of that name. Null when the name is taken. The text is never seen again. */
export async function createToken(store: Store, name: string, principal: string): Promise<{ id: string; secret: string } | null> {
  const id = newId()
  const secret = `uptide_${id.replaceAll('-', '')}_${randomBytes(secretBytes).toString('base64url')}`
  const { ok } = await store.addToken({ id, name, hash: hashOf(secret) }, principal)
  return ok ? { id, secret } : null
}

export interface KnownToken { readonly id: string; readonly name: string }

export class TokenBook {
  private readonly known = new Map<string, { found: KnownToken | null; until: number }>()

  constructor(private readonly store: Pick<Store, 'findToken' | 'touchToken'>) {}

  /** Whose token this is, or null: unknown, revoked or malformed, without saying which. */
  async check(text: string): Promise<KnownToken | null> {
    const match = pattern.exec(text)
    if (!match) return null
    const hash = hashOf(text)
    const key = hash.toString('base64')
    const kept = this.known.get(key)
    if (kept && kept.until > Date.now()) return kept.found
    const row = await this.store.findToken(dashed(match[1] ?? ''))
    const found = row !== null && row.revokedAt === null && timingSafeEqual(hash, row.hash) ? { id: row.id, name: row.name } : null
    if (this.known.size > 10_000) this.known.clear()
    this.known.set(key, { found, until: Date.now() + trustMs })
    if (found) await this.store.touchToken(found.id)
    return found
  }

  /** After a revocation here: no request is served from memory any more. Other processes follow within a second. */
  forget(): void { this.known.clear() }

  /** Is a token that was good a moment ago still good? Asked by streams that stay open. */
  async stillGood(id: string): Promise<boolean> {
    const row = await this.store.findToken(id)
    return row !== null && row.revokedAt === null
  }
}
