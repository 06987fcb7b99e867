// Server-sent events. Postgres wakes, the events table tells: a client that was away catches up from its last id.
import { once } from 'node:events'
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common'
import type { FastifyReply } from 'fastify'
import { TokenBook } from '../access/tokens.js'
import { refuse } from '../http/problem.js'
import { Parts } from '../roles/parts.js'
import { eventShape } from './shape.js'

/** Proxies cut silent connections after 30 s or more; the client takes three missed comments for a dead one. */
const commentMs = 15_000
/**
 * A client that takes nothing for so long is cut off; it comes back with its last id. Until then it costs no more than
 * the stream's own buffer (64 KiB) and one page: what comes after is not read from the table before this is taken.
 */
const slowMaxMs = 30_000
/** 500 streams of 64 KiB are 32 MB. */
const streamsMax = 500
/** An event has about 500 bytes, so that a page fills a stream's buffer about once; the largest has 20 KB, a page then 2 MB. */
const pageSize = 100
/** Progress goes out at most so often for each rollout, milliseconds. */
const progressMs = 1_000
/** Twice in the second that a revoked token may still be good for. */
const tokenCheckMs = 500

interface Stream {
  readonly reply: FastifyReply
  readonly tokenId: string
  readonly rolloutId: string | undefined
  after: string
  busy: boolean
  again: boolean
}

@Injectable()
export class Feed implements BeforeApplicationShutdown {
  private readonly streams = new Set<Stream>()
  private readonly sampled = new Map<string, { again: boolean }>()
  private readonly timers: NodeJS.Timeout[] = []
  private unlisten: (() => Promise<void>) | null = null
  private ended = false

  constructor(private readonly parts: Parts, private readonly tokens: TokenBook) {}

  /** @param after the last event that the client has; without it only new ones are sent. */
  async open(reply: FastifyReply, tokenId: string, rolloutId: string | undefined, after: string | undefined): Promise<void> {
    if (this.ended || this.streams.size >= streamsMax) throw refuse(503, 'TOO_MANY_STREAMS', `There are ${this.streams.size} streams open; no more are served.`, { next: 'Close some, or ask another API process.' })
    this.listen()
    const stream: Stream = { reply, tokenId, rolloutId, after: after ?? (await this.parts.store.lastSeq()), busy: false, again: false }
    reply.hijack()
    const { raw } = reply
    // It may have gone away meanwhile, and would not say so again.
    if (raw.destroyed || this.ended) { raw.destroy(); return }
    raw.on('close', () => { this.streams.delete(stream) })
    raw.on('error', () => { this.streams.delete(stream) })
    raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'keep-alive', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff' })
    raw.write(`retry: 1000\n: hello\n\n`)
    this.streams.add(stream)
    void this.pump(stream)
  }

  /** One ear for all streams, from the first one on. */
  private listen(): void {
    if (this.unlisten !== null) return
    this.unlisten = this.parts.store.listen((channel, payload) => {
      if (channel === 'uptide_events') for (const stream of this.streams) void this.pump(stream)
      else if (payload !== '') this.progress(payload)
    })
    this.timers.push(
      setInterval(() => { for (const { reply: { raw } } of this.streams) if (!raw.writableNeedDrain) raw.write(': still here\n\n') }, commentMs).unref(),
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
        while (await this.page(stream));
      } while (stream.again && this.streams.has(stream))
    } catch (error) { this.parts.log.warn({ error: (error as Error).message }, 'a stream could not be fed; the next event tries again') } finally { stream.busy = false }
  }

  /** @returns whether there is more. */
  private async page(stream: Stream): Promise<boolean> {
    const { reply: { raw }, rolloutId, after } = stream
    if (!this.streams.has(stream)) return false
    const { items, next } = await this.parts.store.listEvents(rolloutId === undefined ? {} : { rolloutId }, { after, limit: pageSize })
    for (const row of items) {
      if (raw.writableNeedDrain) await this.drained(stream)
      if (!this.streams.has(stream)) return false
      raw.write(`id: ${row.seq}\nevent: event\ndata: ${JSON.stringify(eventShape(row))}\n\n`)
      stream.after = row.seq
      if (row.kind === 'token.revoked') void this.dropRevoked()
    }
    return next !== null
  }

  private async drained(stream: Stream): Promise<void> {
    const { raw } = stream.reply
    const signal = AbortSignal.timeout(slowMaxMs)
    const waits = new AbortController()
    const either = { signal: AbortSignal.any([signal, waits.signal]) }
    try { await Promise.race([once(raw, 'drain', either), once(raw, 'close', either)]) } catch { this.cut(stream) } finally { waits.abort() }
  }

  /** The last word of each second counts, and is not lost to the one before it. */
  private progress(rolloutId: string): void {
    const lately = this.sampled.get(rolloutId)
    if (lately) { lately.again = true; return }
    if (!this.wanted(rolloutId).length) return
    const sample = { again: false }
    this.sampled.set(rolloutId, sample)
    void this.sendProgress(rolloutId)
    setTimeout(() => { this.sampled.delete(rolloutId); if (sample.again) this.progress(rolloutId) }, progressMs).unref()
  }

  private wanted = (rolloutId: string): Stream[] => [...this.streams].filter((stream) => stream.rolloutId === undefined || stream.rolloutId === rolloutId)

  private async sendProgress(rolloutId: string): Promise<void> {
    try {
      const targets = (await this.parts.store.movingTargets(rolloutId)).map((row) => ({ id: row.id, host: row.hostName, progress: row.progress }))
      const text = `event: progress\ndata: ${JSON.stringify({ rolloutId, targets })}\n\n`
      // Who is behind with events gets none: losing it loses nothing.
      for (const { reply: { raw } } of this.wanted(rolloutId)) if (!raw.writableNeedDrain) raw.write(text)
    } catch (error) { this.parts.log.warn({ error: (error as Error).message }, 'progress could not be read; the next sample tries again') }
  }

  private cut(stream: Stream): void { this.streams.delete(stream); stream.reply.raw.destroy() }

  private async dropRevoked(): Promise<void> {
    for (const id of new Set([...this.streams].map((stream) => stream.tokenId))) {
      if (await this.tokens.stillGood(id).catch(() => true)) continue
      for (const stream of this.streams) if (stream.tokenId === id) this.cut(stream)
    }
  }

  /** Before the listener closes: that would wait for the streams, or tear them off. */
  async beforeApplicationShutdown(): Promise<void> {
    this.ended = true
    for (const timer of this.timers) clearInterval(timer)
    for (const stream of this.streams) stream.reply.raw.end()
    this.streams.clear()
    await this.unlisten?.()
  }
}
