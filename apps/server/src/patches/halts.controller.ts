import type { Halt } from '@uptide/contracts/api'
import type { HaltRow } from '@uptide/store'
import { Controller } from '@nestjs/common'
import { refuse } from '../http/problem.js'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'

const shape = ({ kernel, ...row }: HaltRow): Halt => ({
  ...row, kernelRelease: kernel, at: row.at.toISOString(), releasedAt: row.releasedAt?.toISOString() ?? null, suspects: [...row.suspects],
})

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

@Controller()
export class HaltsController {
  constructor(private readonly parts: Parts) {}

  @Route('halt.list')
  async list(@inputOf() { query }: Input<'halt.list'>) {
    const { items, next } = await this.parts.store.listHalts(query.released === 'yes', query)
    return { items: items.map(shape), next }
  }

  @Route('halt.release')
  async release(@inputOf() { params, body, principal }: Input<'halt.release'>) {
    const id = params['id'] ?? ''
    const done = uuid.test(id) ? await this.parts.store.releaseHalt(id, principal, body.reason) : { ok: false as const, why: 'unknown' as const }
    const row = done.ok || done.why === 'released' ? await this.parts.store.findHalt(id) : null
    if (!row) throw refuse(404, 'NO_SUCH_HALT', `There is no halt ${id}; uptide halt list shows those that hold.`)
    if (!done.ok) throw refuse(409, 'HALT_RELEASED', `${row.releasedBy ?? 'Somebody'} released it already: ${row.releasedSays ?? ''}`)
    // The timer would find the artefact free within a sweep; its own rollout goes on at once.
    await this.parts.queues.ringRollout(row.rolloutId)
    return shape(row)
  }
}
