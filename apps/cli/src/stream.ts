// Server-sent events, read over fetch so that the token can go in a header; comes back after a break where it was.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from './client.js'
import { Ending } from './exit.js'

export interface Message { readonly kind: string; readonly id: string | null; readonly data: unknown }

/** First and longest pause between two tries to come back, milliseconds. */
const retryFirstMs = 500
const retryMaxMs = 10_000
/** The server sends a comment every 15 s; three missed mean that the connection is dead. */
const silenceMaxMs = 45_000

export async function* follow(client: Client, from: { rolloutId?: string; after?: string }, signal?: AbortSignal): AsyncGenerator<Message> {
  let after = from.after
  let pauseMs = retryFirstMs
  while (!signal?.aborted) {
    const quiet = new AbortController()
    const whole = signal ? AbortSignal.any([quiet.signal, signal]) : quiet.signal
    let timer = setTimeout(() => { quiet.abort() }, silenceMaxMs)
    try {
      const response = await client.send('event.stream', { query: { rolloutId: from.rolloutId, ...(after === undefined ? {} : { after }) } }, whole, { accept: 'text/event-stream' })
      for await (const message of messages(response, () => { clearTimeout(timer); timer = setTimeout(() => { quiet.abort() }, silenceMaxMs) })) {
        pauseMs = retryFirstMs
        if (message.id !== null) after = message.id
        yield message
      }
    } catch (error) {
      if (error instanceof Ending && error.exit !== 'contact') throw error
    } finally { clearTimeout(timer) }
    if (signal?.aborted) return
    await sleep(pauseMs)
    pauseMs = Math.min(pauseMs * 2, retryMaxMs)
  }
}

async function* messages(response: Response, alive: () => void): AsyncGenerator<Message> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    alive()
    rest += decoder.decode(chunk, { stream: true })
    const blocks = rest.split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const message = parse(block)
      if (message) yield message
    }
  }
}

function parse(block: string): Message | null {
  let kind = 'message'; let id: string | null = null; const data: string[] = []
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) kind = line.slice(6).trim()
    else if (line.startsWith('id:')) id = line.slice(3).trim()
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
  }
  if (data.length === 0) return null
  return { kind, id, data: JSON.parse(data.join('\n')) as unknown }
}
