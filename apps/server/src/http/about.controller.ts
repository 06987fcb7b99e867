// What this process says of itself: health, the API's description, metrics.
import { Controller } from '@nestjs/common'
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client'
import { Parts } from '../roles/parts.js'
import { openApi } from './openapi.js'
import { type Input, inputOf, Route } from './route.js'

export const version = '0.1.0'

@Controller()
export class AboutController {
  private readonly registry = new Registry()
  private readonly rollouts = new Gauge({ name: 'uptide_rollouts', help: 'Rollouts by state', labelNames: ['state'], registers: [this.registry] })
  private readonly targets = new Gauge({ name: 'uptide_targets', help: 'Targets of all rollouts by state', labelNames: ['state'], registers: [this.registry] })

  constructor(private readonly parts: Parts) { collectDefaultMetrics({ register: this.registry, prefix: 'uptide_' }) }

  @Route('health')
  health() { return { ok: true, version, roles: this.parts.env.ROLES } }

  @Route('openapi')
  openapi() { return openApi(version) }

  @Route('metrics')
  async metrics(@inputOf() { reply }: Input<'metrics'>) {
    this.rollouts.reset()
    this.targets.reset()
    for (const row of await this.parts.store.rolloutStates()) this.rollouts.set({ state: row.state }, row._count)
    for (const row of await this.parts.store.targetStates()) this.targets.set({ state: row.state }, row._sum.n ?? 0)
    void reply.header('content-type', this.registry.contentType)
    return this.registry.metrics()
  }
}
