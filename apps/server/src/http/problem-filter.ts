// The one place where an error becomes a reply. What is not known is logged whole and told as little.
import { randomUUID } from 'node:crypto'
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { problemOf, Refused, type Refusal } from './problem.js'

interface FastifyFault { readonly statusCode?: number; readonly code?: string }

/** Fastify's own refusals, in our words. */
const fastifyWords: Readonly<Record<string, Omit<Refusal, 'status'>>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'TOO_LARGE', says: 'The request\'s body is too large.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'MEDIA_TYPE', says: 'The body\'s content type is not accepted here.', next: 'Send application/json, or application/octet-stream for a module.' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'BAD_JSON', says: 'The body is empty but its content type says JSON.' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'BAD_JSON', says: 'The body is not valid JSON.' },
}

function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refused) return error.refusal
  const { statusCode, code } = (error ?? {}) as FastifyFault
  const words = code === undefined ? undefined : fastifyWords[code]
  if (words && statusCode) return { status: statusCode, ...words }
  if (error instanceof HttpException && error.getStatus() === 404) return { status: 404, code: 'NO_ROUTE', says: 'There is no such address in this API.', next: 'GET /api/v1/openapi.json lists them.' }
  const status = error instanceof HttpException ? error.getStatus() : statusCode
  if (status !== undefined && status >= 400 && status < 500) return { status, code: 'BAD_REQUEST', says: 'The request cannot be read.' }
  return null
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
