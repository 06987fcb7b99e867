// Requests to lines, and an incremental, bounded reader of replies. Everything it reads is hostile.
import { gateArgPattern, gateLineBytesMax } from './protocol.js'

export const noncePattern = /^[0-9a-f]{16}$/
const verbPattern = /^[a-z]{1,16}$/
const codePattern = /^[A-Z][A-Z0-9_]{0,31}$/

/** The request's line with its newline. @throws TypeError when a word is not of the protocol: nothing is sent then. */
export function encodeRequest(nonce: string, verb: string, args: readonly string[]): string {
  if (!noncePattern.test(nonce)) throw new TypeError('gate: a nonce is 16 hex digits')
  if (!verbPattern.test(verb)) throw new TypeError(`gate: ${JSON.stringify(verb)} is no verb`)
  for (const arg of args) if (!gateArgPattern.test(arg)) throw new TypeError(`gate: an argument of ${verb} holds what no argument may hold`)
  const line = `${[nonce, verb, ...args].join(' ')}\n`
  if (line.length > gateLineBytesMax) throw new TypeError(`gate: the request ${verb} is too long`)
  return line
}

export type ReplyItem =
  | { readonly kind: 'data'; readonly text: string }
  | { readonly kind: 'done'; readonly count: number }
  | { readonly kind: 'refused'; readonly code: string; readonly detail: string }

/** One line of a reply to `nonce`, without its newline. Null: no line of this protocol, or of another request. */
export function decodeReplyLine(nonce: string, line: string): ReplyItem | null {
  if (!line.startsWith(`${nonce} `)) return null
  const mark = line[17]
  if (line[18] !== ' ' && !(line.length === 18 && mark === '+')) return null
  const rest = line.slice(19)
  if (mark === '+') return { kind: 'data', text: rest }
  if (mark === '=') return /^\d{1,9}$/.test(rest) ? { kind: 'done', count: Number(rest) } : null
  if (mark === '!') {
    const cut = rest.indexOf(' ')
    const code = cut < 0 ? rest : rest.slice(0, cut)
    return codePattern.test(code) ? { kind: 'refused', code, detail: cut < 0 ? '' : rest.slice(cut + 1) } : null
  }
  return null
}

export type Cut = { readonly ok: true; readonly lines: string[] } | { readonly ok: false; readonly why: 'LINE_TOO_LONG' | 'NOT_PRINTABLE' }

/** Cuts a byte stream into lines of printable ASCII; holds at most one line. */
export class LineCutter {
  private rest = ''

  push(chunk: Uint8Array): Cut {
    // latin1: a byte is a character, so that nothing can hide in a broken multi-byte sequence.
    const text = this.rest + latin1(chunk)
    const lines = text.split('\n')
    this.rest = lines.pop() ?? ''
    if (this.rest.length > gateLineBytesMax || lines.some((line) => line.length > gateLineBytesMax)) return { ok: false, why: 'LINE_TOO_LONG' }
    if (lines.some((line) => !/^[\x20-\x7e]*$/.test(line))) return { ok: false, why: 'NOT_PRINTABLE' }
    return { ok: true, lines }
  }
}

const decoder = new TextDecoder('latin1')
const latin1 = (bytes: Uint8Array): string => decoder.decode(bytes)
