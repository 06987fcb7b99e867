// The API's description, made from the same table that mounts it.
import { problem, routes, type Route } from '@uptide/contracts/api'
import { z } from 'zod'

type Json = Record<string, unknown>

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12' }) as Json
  return rest
}

const replyContent: Readonly<Record<'stream' | 'text' | 'json', Json>> = {
  stream: { 'text/event-stream': { schema: { type: 'string' } } },
  text: { 'text/plain': { schema: { type: 'string' } } },
  json: { 'application/json': { schema: { type: 'object' } } },
}

function operation(name: string, route: Route): Json {
  const query = route.query ? (schemaOf(route.query, 'input') as { properties?: Record<string, Json>; required?: string[] }) : {}
  const parameters = [
    ...[...route.path.matchAll(/:([a-z]+)/gi)].map(([, key]) => ({ name: key, in: 'path', required: true, schema: { type: 'string', maxLength: 100 } })),
    ...Object.entries(query.properties ?? {}).map(([key, schema]) => ({ name: key, in: 'query', required: query.required?.includes(key) === true && !('default' in schema), schema })),
  ]
  const content = typeof route.reply === 'string' ? replyContent[route.reply] : { 'application/json': { schema: schemaOf(route.reply, 'output') } }
  const body = route.body === 'bytes' ? { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }
    : route.body ? { 'application/json': { schema: schemaOf(route.body, 'input') } } : null
  return {
    operationId: name, summary: route.says, tags: [name.split('.')[0]],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: body } } : {}),
    security: route.access === 'public' ? [] : [{ token: [] }],
    responses: {
      [String(route.status ?? 200)]: { description: route.says, content },
      default: { description: 'What went wrong, and what to do next', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
    },
  }
}

/** OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0). */
export function openApi(version: string): Json {
  const paths: Record<string, Json> = {}
  for (const [name, route] of Object.entries(routes) as [string, Route][]) {
    const path = route.path.replace(/:([a-z]+)/gi, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(name, route) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Uptide', version, description: 'Live-patches the running kernels of a fleet in waves, without a reboot, and proves it.' },
    paths,
    components: { schemas: { Problem: schemaOf(problem, 'output') }, securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  }
}
