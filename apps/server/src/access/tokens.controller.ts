import { Controller } from '@nestjs/common'
import { refuse } from '../http/problem.js'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'
import { createToken, TokenBook } from './tokens.js'

interface TokenRow { readonly id: string; readonly name: string; readonly createdAt: Date; readonly lastUsedAt: Date | null; readonly revokedAt: Date | null }
const shown = (row: TokenRow) => ({ id: row.id, name: row.name, createdAt: row.createdAt.toISOString(), lastUsedAt: row.lastUsedAt?.toISOString() ?? null, revokedAt: row.revokedAt?.toISOString() ?? null })

@Controller()
export class TokensController {
  constructor(private readonly parts: Parts, private readonly tokens: TokenBook) {}

  @Route('token.create')
  async create(@inputOf() { body, principal }: Input<'token.create'>) {
    const made = await createToken(this.parts.store, body.name, principal)
    if (!made) throw refuse(409, 'NAME_TAKEN', `There is a token ${body.name} already; a name is used once, also after it was revoked.`)
    const row = await this.parts.store.findToken(made.id)
    return { ...shown(row as TokenRow), secret: made.secret }
  }

  @Route('token.list')
  async list() {
    return { items: (await this.parts.store.listTokens()).map(shown), next: null }
  }

  @Route('token.revoke')
  async revoke(@inputOf() { params, principal, tokenId }: Input<'token.revoke'>) {
    const row = await this.parts.store.findTokenByName(params['name'] ?? '')
    if (!row) throw refuse(404, 'NO_TOKEN_OF_THAT_NAME', `There is no token ${params['name']}.`)
    if (row.id === tokenId) throw refuse(409, 'OWN_TOKEN', 'A token cannot revoke itself: nobody might be left to let anybody in.', { next: 'Revoke it with another token.' })
    await this.parts.store.revokeToken(row.name, principal)
    this.tokens.forget()
    return shown((await this.parts.store.findToken(row.id)) as TokenRow)
  }
}
