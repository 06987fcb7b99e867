// Server-sent events. Postgres wakes, the events table tells: a client that was away catches up from its last id.
import { Injectable, type OnApplicationShutdown } from '@nestjs/common'
import type { FastifyReply } from 'fastify'
import { TokenBook } from '../access/tokens.js'
import { Parts } from '../roles/parts.js'
import { eventShape } from './shape.js'

/** Proxies cut silent connections after 30 s or more; the client takes three missed comments for a dead one. */
const commentMs = 15_000
/** A client that lets so much pile up is cut off; it comes back with its last id. */
const bufferedMax = 1024 * 1024
const pageSize = 500
/** Progress goes out at most so often for each rollout, milliseconds. */
const progressMs = 1_000
const tokenCheckMs = 1_000

interface Stream {
  readonly reply: FastifyReply
  readonly tokenId: string
  readonly rolloutId: string | undefined
  after: string
  busy: boolean
  again: boolean
}

@Injectable()
export class Feed implements OnApplicationShutdown {
  private readonly streams = new Set<Stream>()
  private readonly progressAt = new Map<string, number>()
  private readonly timers: NodeJS.Timeout[] = []
  private unlisten: (() => Promise<void>) | null = null

  constructor(private readonly parts: Parts, private readonly tokens: TokenBook) {}

  async open(reply: FastifyReply, tokenId: string, rolloutId: string | undefined, after: string | undefined): Promise<void> {
    this.listen()
    const stream: Stream = { reply, tokenId, rolloutId, after: after ?? (await this.parts.store.lastSeq()), busy: false, again: false }
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'keep-alive', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff' })
    reply.raw.write(`retry: 1000\n: hello\n\n`)
    this.streams.add(stream)
    reply.raw.on('close', () => { this.streams.delete(stream) })
    reply.raw.on('error', () => { this.streams.delete(stream) })
    await this.pump(stream)
  }

  private listen(): void {
    if (this.unlisten !== null) return
    this.unlisten = this.parts.store.listen((channel, payload) => {
      if (channel === 'uptide_events') for (const stream of this.streams) void this.pump(stream)
      else if (payload !== '') void this.progress(payload)
    })
    this.timers.push(
      setInterval(() => { for (const { reply } of this.streams) reply.raw.write(': still here\n\n') }, commentMs).unref(),
      setInterval(() => { void this.dropRevoked() }, tokenCheckMs).unref(),
    )
  }

  /** Sends what is new to one stream; a wake-up during it leads to one more look. */
  private async pump(stream: Stream): Promise<void> {
    if (stream.busy) { stream.again = true; return }
    stream.busy = true
    try {
      do {
        stream.again = false
        for (let more = true; more && this.streams.has(stream);) {
          const { items, next } = await this.parts.store.listEvents(stream.rolloutId === undefined ? {} : { rolloutId: stream.rolloutId }, { after: stream.after, limit: pageSize })
          for (const row of items) this.send(stream, `id: ${row.seq}\nevent: event\ndata: ${JSON.stringify(eventShape(row))}\n\n`)
          stream.after = items.at(-1)?.seq ?? stream.after
          more = next !== null
        }
      } while (stream.again && this.streams.has(stream))
    } catch (error) { this.parts.log.warn({ error: (error as Error).message }, 'a stream could not be fed; the next event tries again') } finally { stream.busy = false }
  }

  private async progress(rolloutId: string): Promise<void> {
    const wanted = [...this.streams].filter((stream) => stream.rolloutId === undefined || stream.rolloutId === rolloutId)
    if (wanted.length === 0 || (this.progressAt.get(rolloutId) ?? 0) > Date.now() - progressMs) return
    if (this.progressAt.size > 1000) this.progressAt.clear()
    this.progressAt.set(rolloutId, Date.now())
    const targets = (await this.parts.store.movingTargets(rolloutId)).map((row) => ({ id: row.id, host: row.hostName, progress: row.progress }))
    for (const stream of wanted) this.send(stream, `event: progress\ndata: ${JSON.stringify({ rolloutId, targets })}\n\n`)
  }

  private send(stream: Stream, text: string): void {
    if (!this.streams.has(stream)) return
    stream.reply.raw.write(text)
    if (stream.reply.raw.writableLength > bufferedMax) this.cut(stream)
  }

  private cut(stream: Stream): void { this.streams.delete(stream); stream.reply.raw.destroy() }

  private async dropRevoked(): Promise<void> {
    const ids = new Set([...this.streams].map((stream) => stream.tokenId))
    for (const id of ids) {
      if (await this.tokens.stillGood(id).catch(() => true)) continue
      for (const stream of this.streams) if (stream.tokenId === id) this.cut(stream)
    }
  }

  async onApplicationShutdown(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer)
    for (const stream of this.streams) stream.reply.raw.end()
    this.streams.clear()
    await this.unlisten?.()
  }
}
