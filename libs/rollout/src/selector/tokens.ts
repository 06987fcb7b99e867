// A selector's text cut into words, each with its place, so that every message can point at it.
import { bareCharacter, operators } from './grammar.js'

export interface Token {
  /** `text` is a value in quotes, which is never a keyword. */
  readonly kind: 'word' | 'text' | 'operator' | '(' | ')' | ',' | 'end'
  readonly value: string
  /** Characters from the start (UTF-16 units, as JavaScript counts). */
  readonly at: number
  readonly length: number
}

export class SelectorFault extends Error {
  constructor(readonly says: string, readonly at: number, readonly length: number) { super(says) }
}

const blank = /\s/
const marks: ReadonlySet<string> = new Set(['(', ')', ','])
/** What people write who know another language. */
const instead: Readonly<Record<string, string>> = { '&': '"and"', '|': '"or"', '!': '"not"', '\'': 'double quotes' }

export function cutTokens(text: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < text.length) {
    const c = text.charAt(at)
    if (blank.test(c)) { at += 1; continue }
    const token = marks.has(c) ? { kind: c as '(', value: c, at, length: 1 } : (cutText(text, at) ?? cutOperator(text, at) ?? cutWord(text, at))
    if (!token) throw new SelectorFault(`${JSON.stringify(c)} means nothing here${instead[c] ? `; write ${instead[c]}` : ''}.`, at, 1)
    tokens.push(token)
    at += token.length
  }
  tokens.push({ kind: 'end', value: '', at: text.length, length: 1 })
  return tokens
}

function cutOperator(text: string, at: number): Token | null {
  const value = operators.find((one) => text.startsWith(one, at))
  if (!value) return null
  // `==` is what programmers write; it means the same.
  const doubled = value === '=' && text.charAt(at + 1) === '='
  return { kind: 'operator', value, at, length: doubled ? 2 : value.length }
}

function cutWord(text: string, at: number): Token | null {
  let end = at
  while (end < text.length && bareCharacter.test(text.charAt(end))) end += 1
  return end === at ? null : { kind: 'word', value: text.slice(at, end), at, length: end - at }
}

function cutText(text: string, at: number): Token | null {
  if (text.charAt(at) !== '"') return null
  let value = ''
  for (let i = at + 1; i < text.length; i++) {
    const c = text.charAt(i)
    if (c === '"') return { kind: 'text', value, at, length: i + 1 - at }
    if (c === '\\') {
      i += 1
      const escaped = text.charAt(i)
      if (escaped !== '"' && escaped !== '\\') throw new SelectorFault('After a backslash comes " or another backslash.', i - 1, 2)
      value += escaped
    } else value += c
  }
  throw new SelectorFault('This text has no closing quote.', at, text.length - at)
}
