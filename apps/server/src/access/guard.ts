// Deny by default: a request passes only by a row of the routes table, and with a token unless the row says public.
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import { routes, type Route, type RouteName } from '@uptide/contracts/api'
import type { FastifyInstance } from 'fastify'
import { refuse } from '../http/problem.js'
import { type AskedRequest, routeKey } from '../http/route.js'
import { TokenBook } from './tokens.js'

/** Failed tries of one address within the window before it is told to wait. */
const failuresMax = 30
const windowMs = 60_000
/** Addresses remembered: about 2 MB. */
const addressesMax = 10_000

const publicPaths = new Set((Object.values(routes) as Route[]).filter((row) => row.access === 'public').map((row) => `${row.method} ${row.path}`))

@Injectable()
export class AccessGuard implements CanActivate {
  private readonly failures = new Map<string, { count: number; until: number }>()

  constructor(private readonly tokens: TokenBook, { httpAdapter }: HttpAdapterHost) {
    // Before a body is read: who may not ask must not make us hold 64 MiB.
    httpAdapter.getInstance<FastifyInstance>().addHook('onRequest', async (request) => {
      if (request.method !== 'GET' && !publicPaths.has(`${request.method} ${request.routeOptions.url}`)) await this.admit(request)
    })
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const name = Reflect.getMetadata(routeKey, context.getHandler()) as RouteName | undefined
    if (name === undefined) throw refuse(403, 'NO_RULE', 'This address has no access rule, so nobody may use it.')
    if (routes[name].access !== 'public') await this.admit(context.switchToHttp().getRequest<AskedRequest>())
    return true
  }

  private async admit(request: AskedRequest): Promise<void> {
    if (request.asker) return
    this.mayTry(request.ip)
    const token = /^Bearer (\S{1,200})$/i.exec(request.headers.authorization ?? '')?.[1]
    const known = token === undefined ? null : await this.tokens.check(token)
    if (known === null) {
      if (token !== undefined) this.failed(request.ip)
      throw refuse(401, token === undefined ? 'NO_TOKEN' : 'BAD_TOKEN', token === undefined ? 'A token is needed.' : 'The token is not known, or was revoked.', { next: 'Send "Authorization: Bearer TOKEN"; the first start of the server printed one.' })
    }
    request.asker = { principal: `token:${known.name}`, tokenId: known.id }
  }

  private mayTry(address: string): void {
    const seen = this.failures.get(address)
    if (seen && seen.until > Date.now() && seen.count >= failuresMax) throw refuse(429, 'TOO_MANY_TRIES', 'Too many wrong tokens from this address.', { next: 'Wait a minute.' })
  }

  private failed(address: string): void {
    const now = Date.now()
    const seen = this.failures.get(address)
    if (seen && seen.until > now) { seen.count += 1; return }
    if (this.failures.size >= addressesMax) this.failures.clear()
    this.failures.set(address, { count: 1, until: now + windowMs })
  }
}
