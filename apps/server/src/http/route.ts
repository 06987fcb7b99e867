// Handlers are mounted by their name in the contract's table: method, path and access cannot drift from it.
import { applyDecorators, createParamDecorator, type ExecutionContext, HttpCode, RequestMapping, RequestMethod, SetMetadata } from '@nestjs/common'
import { type BodyOf, type QueryOf, routes, type Route as RouteRow, type RouteName } from '@uptide/contracts/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { refuse } from './problem.js'

export const routeKey = 'uptide:route'

const methods = { GET: RequestMethod.GET, POST: RequestMethod.POST, DELETE: RequestMethod.DELETE } as const

export const Route = (name: RouteName): MethodDecorator => applyDecorators(
  SetMetadata(routeKey, name),
  RequestMapping({ method: methods[routes[name].method], path: routes[name].path }),
  HttpCode((routes[name] as RouteRow).status ?? 200),
)

type Parsed<T, Schema> = T extends undefined ? undefined : Schema extends z.ZodType ? z.output<Schema> : T

/** What a handler gets: everything validated by the table's schemas, and who asks. */
export interface Input<N extends RouteName> {
  readonly params: Readonly<Record<string, string>>
  readonly query: Parsed<QueryOf<N>, (typeof routes)[N] extends { query: infer Q } ? Q : never>
  readonly body: Parsed<BodyOf<N>, (typeof routes)[N] extends { body: infer B } ? B : never>
  /** `token:NAME`, recorded with every act. */
  readonly principal: string
  readonly tokenId: string
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** Set by the guard. */
export interface Asker { readonly principal: string; readonly tokenId: string }
export type AskedRequest = FastifyRequest & { asker?: Asker }

/** Path parameters are ids and names, never paths. */
const parameter = z.string().min(1).max(100).regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/, 'an id or a name')

function checked(schema: z.ZodType, value: unknown, where: string): unknown {
  const found = schema.safeParse(value)
  if (found.success) return found.data
  const at = found.error.issues.slice(0, 20).map((issue) => ({ path: [where, ...issue.path.map(String)].join('.'), says: issue.message }))
  throw refuse(400, 'BAD_INPUT', `The request's ${where} is not as it has to be: ${at[0]?.path ?? where}: ${at[0]?.says ?? 'wrong'}.`, { at })
}

/** Objects refuse unknown members: a misspelt field must not be ignored silently. */
const strict = (schema: z.ZodType): z.ZodType => (schema instanceof z.ZodObject ? schema.strict() : schema)

export const inputOf = createParamDecorator((_: unknown, context: ExecutionContext): Input<RouteName> => {
  const name = Reflect.getMetadata(routeKey, context.getHandler()) as RouteName
  const row: RouteRow = routes[name]
  const request = context.switchToHttp().getRequest<AskedRequest>()
  const params = Object.fromEntries(Object.entries(request.params as Record<string, unknown>).map(([key, value]) => [key, checked(parameter, value, `path.${key}`) as string]))
  const query = row.query ? checked(strict(row.query), request.query ?? {}, 'query') : undefined
  return {
    params, query: query as never, body: bodyOf(row, request) as never,
    principal: request.asker?.principal ?? 'nobody', tokenId: request.asker?.tokenId ?? '', request, reply: context.switchToHttp().getResponse<FastifyReply>(),
  }
})

function bodyOf(row: RouteRow, request: FastifyRequest): unknown {
  if (row.body === undefined) return undefined
  if (row.body === 'bytes') {
    if (Buffer.isBuffer(request.body)) return request.body
    throw refuse(415, 'MEDIA_TYPE', 'This address takes a file as application/octet-stream.')
  }
  if (Buffer.isBuffer(request.body)) throw refuse(415, 'MEDIA_TYPE', 'This address takes application/json.')
  return checked(strict(row.body), request.body ?? {}, 'body')
}
