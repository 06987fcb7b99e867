import { Controller } from '@nestjs/common'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'
import { waitingOn } from './explain.js'
import { PlannerService, planReply } from './planner.service.js'
import { RolloutsService } from './rollouts.service.js'
import { rolloutShape, targetShape } from './shape.js'

@Controller()
export class RolloutsController {
  constructor(private readonly rollouts: RolloutsService, private readonly planner: PlannerService, private readonly parts: Parts) {}

  @Route('rollout.plan')
  async plan(@inputOf() { body }: Input<'rollout.plan'>) { return planReply(await this.planner.plan(body)) }

  @Route('rollout.create')
  create(@inputOf() { body, principal }: Input<'rollout.create'>) { return this.rollouts.create(body, principal) }

  @Route('rollout.list')
  async list(@inputOf() { query }: Input<'rollout.list'>) {
    const { items, next } = await this.parts.store.listRollouts(query)
    return { items: items.map(rolloutShape), next }
  }

  @Route('rollout.show')
  async show(@inputOf() { params }: Input<'rollout.show'>) { return rolloutShape(await this.rollouts.row(params['id'] ?? '')) }

  @Route('rollout.targets')
  async targets(@inputOf() { params, query }: Input<'rollout.targets'>) {
    const row = await this.rollouts.row(params['id'] ?? '')
    const { items, next } = await this.parts.store.listTargets(row.id, query, query)
    const why = await waitingOn(this.parts.store, row.id, items.filter((one) => one.state === 'pending').map((one) => one.id))
    return { items: items.map((one) => ({ ...targetShape(one), waitingOn: why.get(one.id) ?? null })), next }
  }

  @Route('pacing.show')
  async pacing() { return { inFlightMax: await this.parts.store.fleetLimit() } }

  @Route('pacing.set')
  async setPacing(@inputOf() { body, principal }: Input<'pacing.set'>) {
    await this.parts.store.setFleetLimit(body.inFlightMax, principal)
    return body
  }

  @Route('rollout.start')
  start(@inputOf() { params, body, principal }: Input<'rollout.start'>) { return this.rollouts.act(params['id'] ?? '', 'start', principal, body.reason) }

  @Route('rollout.approve')
  approve(@inputOf() { params, body, principal }: Input<'rollout.approve'>) { return this.rollouts.approve(params['id'] ?? '', { verdict: 'approved', ...body }, principal) }

  @Route('rollout.reject')
  reject(@inputOf() { params, body, principal }: Input<'rollout.reject'>) { return this.rollouts.approve(params['id'] ?? '', { verdict: 'rejected', ...body }, principal) }

  @Route('rollout.override')
  override(@inputOf() { params, body, principal }: Input<'rollout.override'>) { return this.rollouts.override(params['id'] ?? '', body, principal) }

  @Route('rollout.hold')
  hold(@inputOf() { params, body, principal }: Input<'rollout.hold'>) { return this.rollouts.act(params['id'] ?? '', 'hold', principal, body.reason) }

  @Route('rollout.resume')
  resume(@inputOf() { params, body, principal }: Input<'rollout.resume'>) { return this.rollouts.act(params['id'] ?? '', 'resume', principal, body.reason) }

  @Route('rollout.cancel')
  cancel(@inputOf() { params, body, principal }: Input<'rollout.cancel'>) { return this.rollouts.act(params['id'] ?? '', 'cancel', principal, body.reason) }

  @Route('rollout.revert')
  revert(@inputOf() { params, body, principal }: Input<'rollout.revert'>) { return this.rollouts.revert(params['id'] ?? '', body, principal) }
}
