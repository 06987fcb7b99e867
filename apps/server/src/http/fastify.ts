// The HTTP server under Nest: limits, body parsers, headers.
import { randomUUID } from 'node:crypto'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { moduleBytesMax } from '@uptide/contracts/api'
import type { FastifyReply } from 'fastify'
import { refusalOf } from './problem-filter.js'
import { problemOf } from './problem.js'

/** A JSON body: a rollout naming 10,000 hosts of 100 characters is 1 MB. */
const jsonBytesMax = 2 * 1024 * 1024
/** A whole request, body included: 64 MiB at 2 MB/s. */
const requestTimeoutMs = 40_000

const unreadable = { status: 400, code: 'BAD_REQUEST', says: 'The request cannot be read.' }

const headers: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'", 'cross-origin-resource-policy': 'same-origin',
}

export function fastifyAdapter(): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: jsonBytesMax, requestTimeout: requestTimeoutMs, forceCloseConnections: true, genReqId: () => randomUUID(),
    // A path that is no text is refused before there is a route, a hook or a filter.
    frameworkErrors: (error: Error, _request: unknown, reply: FastifyReply) => { const refusal = refusalOf(error) ?? unreadable; void reply.status(refusal.status).headers(headers).header('content-type', 'application/problem+json').send(problemOf(refusal)) },
    exposeHeadRoutes: false, onProtoPoisoning: 'error', onConstructorPoisoning: 'error', routerOptions: { maxParamLength: 200 },
  })
  const fastify = adapter.getInstance()
  fastify.addContentTypeParser('application/octet-stream', { parseAs: 'buffer', bodyLimit: moduleBytesMax }, (_request, body, done) => { done(null, body) })
  fastify.addHook('onRequest', async (_request, reply) => { void reply.headers(headers) })
  return adapter
}
