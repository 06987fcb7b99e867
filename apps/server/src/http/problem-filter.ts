// The one place where an error becomes a reply. What is not known is logged whole and told as little.
import { randomUUID } from 'node:crypto'
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { problemOf, Refused, type Refusal } from './problem.js'

/** Refusals of the parts below us, in our words. Nest keeps their status and message, and drops their code. */
const statusWords: Readonly<Record<number, Omit<Refusal, 'status'>>> = {
  404: { code: 'NO_ROUTE', says: 'There is no such address in this API.', next: 'GET /api/v1/openapi.json lists them.' },
  413: { code: 'TOO_LARGE', says: 'The request\'s body is too large.' },
  415: { code: 'MEDIA_TYPE', says: 'The body\'s content type is not accepted here.', next: 'Send application/json, or application/octet-stream for a module.' },
}
const badJson: Omit<Refusal, 'status'> = { code: 'BAD_JSON', says: 'The body cannot be read as JSON: it is empty, cut off, malformed, or names a prototype.' }
const unreadable: Omit<Refusal, 'status'> = { code: 'BAD_REQUEST', says: 'The request cannot be read.' }

export function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refused) return error.refusal
  const status = error instanceof HttpException ? error.getStatus() : (error as { statusCode?: unknown } | null)?.statusCode
  if (typeof status !== 'number' || status < 400 || status >= 500) return null
  // Paths and queries are checked by our own schemas: what is left at 400 is the body, or its length.
  const words = statusWords[status] ?? (status === 400 && !/content-length|url/i.test((error as Error).message) ? badJson : unreadable)
  return { status, ...words }
}

@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('http')

  catch(error: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>()
    if (reply.sent || reply.raw.headersSent) { reply.raw.destroy(); return }
    const known = refusalOf(error)
    const refusal = known ?? this.fault(error, host.switchToHttp().getRequest<FastifyRequest>())
    void reply.status(refusal.status).header('content-type', 'application/problem+json').send(problemOf(refusal))
  }

  private fault(error: unknown, request: FastifyRequest): Refusal {
    const mark = randomUUID()
    this.logger.error({ mark, route: request.routeOptions.url, err: error instanceof Error ? error.stack : String(error) }, 'a request failed')
    return { status: 500, code: 'FAULT', says: 'Uptide failed to carry this out; nothing is known to be wrong with the request.', next: `The server's log has the details under ${mark}.` }
  }
}
