// Planted faults: a route without a handler, with two, an address outside the table, and a handler that fails.
import 'reflect-metadata'
import { Controller, type DynamicModule, Get, type Type } from '@nestjs/common'
import { APP_FILTER, DiscoveryModule, NestFactory } from '@nestjs/core'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { type RouteName, routes } from '@uptide/contracts/api'
import { afterEach, describe, expect, it } from 'vitest'
import { fastifyAdapter } from './fastify.js'
import { checkMounting } from './mounting.js'
import { ProblemFilter } from './problem-filter.js'
import { Route } from './route.js'

const apps: NestFastifyApplication[] = []
afterEach(async () => { for (const app of apps.splice(0)) await app.close() })

/** A controller with these methods, each mounted by its decorator. */
function controller(mounted: readonly (readonly [MethodDecorator, () => unknown])[]): Type {
  class Planted {}
  mounted.forEach(([mount, run], index) => {
    Object.defineProperty(Planted.prototype, `act${index}`, { value: run, writable: true, configurable: true })
    mount(Planted.prototype, `act${index}`, Object.getOwnPropertyDescriptor(Planted.prototype, `act${index}`) ?? {})
  })
  Controller()(Planted)
  return Planted
}

async function appOf(mounted: readonly (readonly [MethodDecorator, () => unknown])[]): Promise<NestFastifyApplication> {
  class Bench {}
  const module: DynamicModule = { module: Bench, imports: [DiscoveryModule], controllers: [controller(mounted)], providers: [{ provide: APP_FILTER, useClass: ProblemFilter }] }
  const app = await NestFactory.create<NestFastifyApplication>(module, fastifyAdapter(), { logger: false })
  apps.push(app)
  await app.init()
  await app.getHttpAdapter().getInstance().ready()
  return app
}

const every = (Object.keys(routes) as RouteName[]).map((name) => [Route(name), () => ({})] as const)

describe('the check at start', () => {
  it('passes when every route has one handler', async () => {
    const app = await appOf(every)
    expect(() => { checkMounting(app) }).not.toThrow()
  })

  it.each([
    ['a route without a handler', every.slice(1), 'Route health has no handler'],
    ['a route with two handlers', [...every, [Route('host.list'), () => ({})] as const], 'Route host.list has 2 handlers'],
    ['an address outside the table', [...every, [Get('/debug'), () => ({})] as const], 'not in the routes table'],
  ] as const)('stops the start at %s and names it', async (_says, mounted, words) => {
    // Two handlers on one path are refused by Fastify even before.
    const started = appOf(mounted).then((app) => { checkMounting(app) })
    await expect(started).rejects.toThrow(words.includes('2 handlers') ? /2 handlers|already declared/ : words)
  })
})

describe('a handler that fails', () => {
  it('tells the client a mark and nothing of what went wrong', async () => {
    const app = await appOf([[Route('health'), () => { throw new Error('password=hunter2 at /etc/secret') }]])
    const reply = await app.getHttpAdapter().getInstance().inject({ method: 'GET', url: routes.health.path })
    expect(reply.statusCode).toBe(500)
    expect(reply.headers['content-type']).toContain('application/problem+json')
    expect(reply.body).not.toMatch(/hunter2|secret|Error|\.ts/)
    expect(JSON.parse(reply.body)).toMatchObject({ code: 'FAULT', next: expect.stringMatching(/[0-9a-f-]{36}/) })
  })
})
