// A reader of server-sent events, as plain as one can be.
import type { Api } from './api.js'

export interface Message { readonly kind: string; readonly id: string | null; readonly data: unknown }

export interface Stream {
  readonly status: number
  readonly seen: readonly Message[]
  /** Settles when the server has ended the stream. */
  readonly ended: Promise<void>
  close(): void
}

export async function openStream(api: Api, query: string, init: { token?: string; headers?: Record<string, string> } = {}): Promise<Stream> {
  const stop = new AbortController()
  const response = await api.raw('GET', `/api/v1/events/stream${query}`, { ...init, signal: stop.signal })
  const seen: Message[] = []
  return { status: response.status, seen, ended: read(response, seen), close: () => { stop.abort() } }
}

async function read(response: Response, seen: Message[]): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const fields = new Map(block.split('\n').filter((line) => !line.startsWith(':')).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
        const data = fields.get('data')
        if (data !== undefined) seen.push({ kind: fields.get('event') ?? 'message', id: fields.get('id') ?? null, data: JSON.parse(data) })
      }
    }
  } catch { /* Cut off, by us or by the server: it has ended all the same. */ }
}
