import { Controller } from '@nestjs/common'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'
import { Feed } from './feed.js'
import { eventShape } from './shape.js'

@Controller()
export class EventsController {
  constructor(private readonly parts: Parts, private readonly feed: Feed) {}

  @Route('event.list')
  async list(@inputOf() { query }: Input<'event.list'>) {
    const { rolloutId, hostId, kind, ...page } = query
    const { items, next } = await this.parts.store.listEvents({ rolloutId, hostId, kind }, page)
    return { items: items.map(eventShape), next }
  }

  @Route('event.verify')
  async verify() {
    const verdict = await this.parts.store.verifyEvents()
    return verdict.ok
      ? { ok: true, count: verdict.count, head: Buffer.from(verdict.head).toString('hex'), says: `All ${verdict.count} events are in place, unchanged and in order.` }
      : { ok: false, count: verdict.count, head: null, says: verdict.says }
  }

  @Route('event.stream')
  async stream(@inputOf() { query, tokenId, request, reply }: Input<'event.stream'>) {
    const last = request.headers['last-event-id']
    await this.feed.open(reply, tokenId, query.rolloutId, typeof last === 'string' && /^\d{1,18}$/.test(last) ? last : query.after)
  }
}
