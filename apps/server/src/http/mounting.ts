// Deny by default, from both sides: every route of the table has one handler, and nothing else is mounted.
import type { INestApplication } from '@nestjs/common'
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core'
import { routes, type RouteName } from '@uptide/contracts/api'
import { routeKey } from './route.js'

/** @throws when a route has no handler, has two, or a handler stands outside the table. Names what to mend. */
export function checkMounting(app: INestApplication): void {
  const scanner = new MetadataScanner()
  const reflector = app.get(Reflector)
  const mounted = new Map<string, string[]>()
  for (const wrapper of app.get(DiscoveryService, { strict: false }).getControllers()) {
    const prototype = Object.getPrototypeOf(wrapper.instance) as object
    for (const method of scanner.getAllMethodNames(prototype)) {
      const handler = (prototype as Record<string, unknown>)[method] as () => unknown
      const place = `${wrapper.name}.${method}`
      const name = reflector.get<RouteName | undefined>(routeKey, handler)
      if (name === undefined) {
        if (Reflect.hasMetadata('path', handler)) throw new Error(`${place} answers requests but is not in the routes table: mount it with @Route(name) and add its row to contracts/api/routes.ts.`)
        continue
      }
      mounted.set(name, [...(mounted.get(name) ?? []), place])
    }
  }
  for (const name of Object.keys(routes)) {
    const places = mounted.get(name) ?? []
    if (places.length !== 1) throw new Error(places.length === 0 ? `Route ${name} has no handler: add @Route('${name}') to a controller.` : `Route ${name} has ${places.length} handlers: ${places.join(', ')}.`)
  }
}
