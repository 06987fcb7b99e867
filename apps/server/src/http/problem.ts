// Refusals as values that travel: thrown by services, printed by one filter as RFC 9457 problem+json.
import type { Problem } from '@uptide/contracts/api'

export interface Refusal {
  readonly status: number
  /** Stable, in capitals; clients branch on it. */
  readonly code: string
  /** What happened, to what: one sentence. */
  readonly says: string
  /** What to do next. */
  readonly next?: string
  readonly at?: readonly { readonly path: string; readonly says: string }[]
  /** Further members of the problem document. */
  readonly more?: Readonly<Record<string, unknown>>
}

export class Refused extends Error {
  override readonly name = 'Refused'
  constructor(readonly refusal: Refusal) { super(refusal.says) }
}

export const refuse = (status: number, code: string, says: string, rest: Omit<Refusal, 'status' | 'code' | 'says'> = {}): Refused =>
  new Refused({ status, code, says, ...rest })

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request', 401: 'Not signed in', 403: 'Not allowed', 404: 'Not found', 409: 'Conflict', 413: 'Too large',
  415: 'Unsupported media type', 422: 'Refused', 429: 'Too many requests', 500: 'Fault of Uptide', 503: 'Not ready',
}

export const problemOf = (refusal: Refusal): Problem & Record<string, unknown> => ({
  ...refusal.more,
  type: `urn:uptide:problem:${refusal.code.toLowerCase().replaceAll('_', '-')}`,
  title: titles[refusal.status] ?? 'Refused',
  status: refusal.status, code: refusal.code, detail: refusal.says,
  ...(refusal.next ? { next: refusal.next } : {}),
  ...(refusal.at ? { at: [...refusal.at] } : {}),
})
