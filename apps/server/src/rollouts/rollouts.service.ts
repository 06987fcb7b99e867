// Rollouts as operators command them. Every act is a commit and a ring; what follows is reconcile's.
import { Injectable } from '@nestjs/common'
import type { Rollout } from '@uptide/contracts/api'
import { type RolloutAct, sharesOf, type Strategy } from '@uptide/rollout'
import type { RolloutRow } from '@uptide/store'
import { refuse } from '../http/problem.js'
import { Parts } from '../roles/parts.js'
import { type Planned, PlannerService, planReply, type RolloutAsk } from './planner.service.js'
import { rolloutShape } from './shape.js'

/** Reasons kept with the plan; all of them stand in the targets. */
const skippedShownMax = 1_000
/** As many people may create a rollout of one patch in the same moment. */
const nameTriesMax = 20

@Injectable()
export class RolloutsService {
  constructor(private readonly parts: Parts, private readonly planner: PlannerService) {}

  async row(id: string): Promise<RolloutRow> {
    const row = await this.parts.store.findRollout(id)
    if (!row) throw refuse(404, 'NO_SUCH_ROLLOUT', `There is no rollout ${id}.`)
    return row
  }

  async create(ask: RolloutAsk & { name?: string | undefined; planHash?: string | undefined; start: boolean }, principal: string): Promise<Rollout> {
    const planned = await this.planner.plan(ask)
    if (ask.planHash !== undefined && ask.planHash !== planned.planHash) throw refuse(409, 'PLAN_CHANGED', `The plan is ${planned.planHash} now, not ${ask.planHash}: hosts or builds have changed since it was looked at.`, { next: 'Look at it again: uptide rollout plan …' })
    if (planned.waves.length === 0) {
      const first = planned.skipped[0]
      throw refuse(422, 'NOTHING_TO_DO', planned.skipped.length === 0 ? 'The selection names no host.' : `None of the ${planned.skipped.length} hosts can be patched; ${first?.name}: ${first?.reason.says}`, { at: planned.skipped.slice(0, 20).map((one) => ({ path: one.name, says: one.reason.says })) })
    }
    await this.mustBeApprovable(planned.strategy, principal)
    const made = await this.named(ask, planned, principal)
    if (!made.ok) throw refuse(409, 'NAME_TAKEN', `There is a rollout ${made.name} already.`)
    if (ask.start && !planned.strategy.approvals) await this.parts.queues.ringRollout(made.id)
    return rolloutShape(await this.row(made.id))
  }

  /** A name that was made up may be taken by somebody who asks at the same time: then the next one is tried. */
  private async named(ask: { name?: string | undefined; patch: string; start: boolean }, planned: Planned, principal: string): Promise<{ ok: true; id: string } | { ok: false; name: string }> {
    const { waves, skipped, says, planHash } = planReply(planned)
    for (let tries = 1; ; tries++) {
      const name = ask.name ?? (await this.freeName(ask.patch))
      const made = await this.parts.store.createRollout({
        name, patchId: planned.patch.id, strategy: planned.strategy, start: ask.start,
        // The hosts of each wave stand in the targets; repeating 100,000 names here would only weigh.
        plan: { planHash, says, waves: waves.map((wave) => ({ canary: wave.canary, hosts: wave.hosts.length, why: wave.why })), skipped: skipped.slice(0, skippedShownMax), skippedHosts: skipped.length },
        waves: planned.waves.map((wave) => ({ canary: wave.canary, targets: wave.hosts.map((host) => ({ hostId: host.hostId, hostName: host.name, buildId: host.buildId, ...sharesOf(host, planned.strategy) })) })),
        skipped: planned.skipped.map((one) => ({ hostId: one.hostId, hostName: one.name, reason: one.reason })),
      }, principal)
      if (made.ok) return made
      if (ask.name !== undefined || tries >= nameTriesMax) return { ok: false, name }
    }
  }

  private async freeName(patch: string): Promise<string> {
    const taken = new Set(await this.parts.store.rolloutNames(`${patch.slice(0, 90)}-`))
    for (let n = 1; ; n++) if (!taken.has(`${patch.slice(0, 90)}-${n}`)) return `${patch.slice(0, 90)}-${n}`
  }

  async act(id: string, act: RolloutAct, principal: string, reason?: string): Promise<Rollout> {
    const row = await this.row(id)
    const done = await this.parts.store.actOnRollout(row.id, act, principal, reason)
    if (!done.ok) throw refuse(409, 'ROLLOUT_STATE', done.says)
    await this.parts.queues.ringRollout(row.id)
    return rolloutShape(await this.row(row.id))
  }

  async approve(id: string, ask: { verdict: 'approved' | 'rejected'; reason: string; planHash?: string | undefined }, principal: string): Promise<Rollout> {
    const row = await this.row(id)
    const done = await this.parts.store.approveRollout(row.id, { verdict: ask.verdict, says: ask.reason, ...(ask.planHash === undefined ? {} : { planHash: ask.planHash }) }, principal)
    if (!done.ok) throw refuse(409, done.code, done.says)
    if (done.scheduled) await this.parts.queues.ringRollout(row.id)
    return rolloutShape(await this.row(row.id))
  }

  async override(id: string, ask: { reason: string; lastsMs: number }, principal: string): Promise<{ until: string | null }> {
    const row = await this.row(id)
    const done = await this.parts.store.overrideWindow(row.id, ask.reason, ask.lastsMs, principal)
    if (!done.ok) throw refuse(409, 'NOT_OVERRIDDEN', done.says)
    if (done.until !== null) await this.parts.queues.ringRollout(row.id)
    return { until: done.until === null ? null : new Date(done.until).toISOString() }
  }

  /** Approvals that nobody could give would be found out at night. */
  private async mustBeApprovable({ approvals }: Strategy, principal: string): Promise<void> {
    if (!approvals) return
    const others = (await this.parts.store.listTokens()).filter((token) => token.revokedAt === null && `token:${token.name}` !== principal).length
    if (others >= approvals.needed) return
    const says = `${approvals.needed} ${approvals.needed === 1 ? 'approval is' : 'approvals are'} needed and ${others === 0 ? 'there is nobody else' : `only ${others} others can give one`}; create tokens for more people: uptide token create NAME`
    throw refuse(422, 'IMPOSSIBLE_STRATEGY', `This strategy cannot be carried out: ${says}`, { at: [{ path: 'strategy.approvals.needed', says }] })
  }

  async revert(id: string, ask: { reason?: string | undefined; hosts?: string[] | undefined }, principal: string): Promise<Rollout> {
    if (!ask.hosts || ask.hosts.length === 0) return this.act(id, 'revert', principal, ask.reason)
    const row = await this.row(id)
    const done = await this.parts.store.revertHosts(row.id, [...new Set(ask.hosts)], principal, ask.reason)
    if (!done.ok) throw refuse(409, 'NOT_REVERTIBLE', `No host was touched: ${done.refused[0]?.says}`, { at: done.refused.slice(0, 20).map((one) => ({ path: one.host, says: one.says })) })
    await this.parts.queues.ringRollout(row.id)
    return rolloutShape(await this.row(row.id))
  }
}
