// Calls the API by the names of its routes table; every fault becomes an Ending with words and an exit code.
import { routes, type BodyOf, type Problem, type QueryOf, type ReplyOf, type RouteName } from '@uptide/contracts/api'
import { Ending, exitOfStatus } from './exit.js'
import type { Settings } from './settings.js'

export interface Call<N extends RouteName> {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: QueryOf<N>
  readonly body?: BodyOf<N>
}

const replyTimeoutMs = 60_000

function address(base: string, name: RouteName, params: Readonly<Record<string, string>>, query: unknown): URL {
  const path = routes[name].path.replace(/:([a-z]+)/gi, (_, key: string) => {
    const value = params[key]
    if (value === undefined) throw new Error(`route ${name} needs ${key}`)
    return encodeURIComponent(value)
  })
  const url = new URL(base + path)
  for (const [key, value] of Object.entries((query ?? {}) as Record<string, unknown>)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) url.searchParams.append(key, String(one))
  }
  return url
}

export class Client {
  constructor(private readonly settings: Settings) {}

  async call<N extends RouteName>(name: N, call: Call<N> = {}): Promise<ReplyOf<N>> {
    const response = await this.send(name, call, AbortSignal.timeout(replyTimeoutMs))
    return (await response.json()) as ReplyOf<N>
  }

  /** Every item of a paged route, a page at a time. */
  async *all<N extends RouteName>(name: N, call: Call<N> = {}): AsyncGenerator<ReplyOf<N> extends { items: (infer I)[] } ? I : never> {
    let after: string | null | undefined = (call.query as { after?: string } | undefined)?.after
    do {
      const reply = (await this.call(name, { ...call, query: { limit: 1000, ...(call.query as object), ...(after ? { after } : {}) } as QueryOf<N> })) as unknown as { items: never[]; next: string | null }
      yield* reply.items
      after = reply.next
    } while (after)
  }

  async send<N extends RouteName>(name: N, call: Call<N>, signal: AbortSignal, headers: Record<string, string> = {}): Promise<Response> {
    const url = address(this.settings.url, name, call.params ?? {}, call.query)
    const bytes = call.body instanceof Uint8Array
    let response: Response
    try {
      response = await fetch(url, {
        method: routes[name].method, signal, redirect: 'error',
        headers: {
          ...headers,
          ...(this.settings.token ? { authorization: `Bearer ${this.settings.token}` } : {}),
          ...(call.body === undefined ? {} : { 'content-type': bytes ? 'application/octet-stream' : 'application/json' }),
        },
        ...(call.body === undefined ? {} : { body: bytes ? (call.body as Uint8Array<ArrayBuffer>) : JSON.stringify(call.body) }),
      })
    } catch (error) {
      const cause = (error as Error).cause as Error | undefined
      throw new Ending('contact', `The server at ${this.settings.url} does not answer: ${cause?.message || (error as Error).message}`, 'Start it with `npm start`, or name it: --url or UPTIDE_URL')
    }
    if (!response.ok) throw await this.refusal(response)
    return response
  }

  private async refusal(response: Response): Promise<Ending> {
    const exit = exitOfStatus(response.status)
    let problem: Partial<Problem> = {}
    try { problem = (await response.json()) as Problem } catch { /* not ours: the status says it */ }
    const places = (problem.at ?? []).map((one) => `\n  ${one.path}: ${one.says}`).join('')
    const next = problem.next ?? (exit === 'access' ? 'Set UPTIDE_TOKEN, or run: uptide login' : undefined)
    return new Ending(exit, `${problem.detail ?? `HTTP ${response.status} ${response.statusText}`}${places}`, next, problem)
  }
}
