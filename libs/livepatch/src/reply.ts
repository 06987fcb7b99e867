// The gate's data lines, read. Everything in them came from a host: a line is words `key=value`, values are
// percent-encoded, and whatever does not fit exactly is a reply that makes no sense, never an exception.
import { sanitise } from './sanitise.js'

/** Longest data line in bytes, the protocol's own limit. */
export const lineBytesMax = 4096
/** Most data lines of one reply that are read: a host with 64 patches of 256 functions says 16 448. */
export const linesMax = 20_000

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly detail: string }

/** One data line: the word in front (empty when there is none) and its values. */
export interface Fields {
  readonly tag: string
  readonly values: ReadonlyMap<string, string>
}

/** Thrown and caught inside this package only; `reading` turns it into a value. */
class ReplyFault extends Error {}

export function fault(detail: string): never {
  throw new ReplyFault(sanitise(detail, 200))
}

/** Runs a reader of replies; what does not fit comes back as a value. */
export function reading<T>(read: () => T): Read<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (error instanceof ReplyFault) return { ok: false, detail: error.message }
    throw error
  }
}

const plainByte = /[A-Za-z0-9_.:+/=,@()-]/

/** %XX of every byte outside [A-Za-z0-9_.:+/=,@()-]; the inverse of `decodeValue` for well-formed text. */
export function encodeValue(text: string): string {
  const encoded: string[] = []
  for (const character of text.toWellFormed()) {
    if (plainByte.test(character)) encoded.push(character)
    // encodeURIComponent leaves a few marks alone that the protocol does not.
    else encoded.push(character.codePointAt(0)! < 0x80 ? `%${hexOf(character.charCodeAt(0))}` : encodeURIComponent(character))
  }
  return encoded.join('')
}

const hexOf = (byte: number) => byte.toString(16).toUpperCase().padStart(2, '0')

/** A percent-encoded value as text. Bytes that are no UTF-8 become U+FFFD; a `%` without two hex digits is a fault. */
export function decodeValue(value: string): string {
  if (!value.includes('%')) return value
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) fault(`a value is not percent-encoded: ${value.slice(0, 40)}`)
  try {
    return decodeURIComponent(value)
  } catch {
    return value.replace(/(?:%[89A-Fa-f][0-9A-Fa-f])+/g, (run) => decodeRun(run)).replace(/%([0-7][0-9A-Fa-f])/g, (_all, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  }
}

// A run of bytes over 0x7f, of which some are UTF-8: take the longest pieces that are.
function decodeRun(run: string): string {
  let text = ''
  for (let at = 0; at < run.length;) {
    const length = [12, 9, 6].find((each) => at + each <= run.length && decodable(run.slice(at, at + each)))
    text += length ? decodeURIComponent(run.slice(at, at + length)) : '\ufffd'
    at += length ?? 3
  }
  return text
}

function decodable(piece: string): boolean {
  try {
    // One character only, or a piece would swallow its neighbours' faults.
    return [...decodeURIComponent(piece)].length === 1
  } catch {
    return false
  }
}

const keyPattern = /^[a-z][a-z0-9_]{0,31}$/
const tagPattern = /^[a-z][a-z0-9-]{0,31}$/

/** One line into its words. A key twice, a key that is no plain word, a line too long: each is a fault. */
export function fieldsOf(line: string): Fields {
  if (line.length > lineBytesMax) fault('a line is too long')
  if (!/^[\x20-\x7e]*$/.test(line)) fault('a line holds bytes that are not printable')
  const words = line.split(' ').filter((word) => word !== '')
  const tag = words[0] !== undefined && !words[0].includes('=') ? words.shift()! : ''
  if (tag !== '' && !tagPattern.test(tag)) fault(`a line begins with something else than a word: ${tag}`)
  const values = new Map<string, string>()
  for (const word of words) {
    const split = word.indexOf('=')
    const key = word.slice(0, split)
    if (split < 1 || !keyPattern.test(key)) fault(`this is no key=value: ${word}`)
    if (values.has(key)) fault(`a key stands twice in a line: ${key}`)
    values.set(key, sanitise(decodeValue(word.slice(split + 1))))
  }
  return { tag, values }
}

/** All lines of a reply, each into its words. */
export function allFields(lines: readonly string[]): Fields[] {
  if (lines.length > linesMax) fault(`a reply has ${lines.length} lines`)
  return lines.map(fieldsOf)
}

/** The lines of a reply that says one thing, as one set of values; a key twice is a fault. */
export function mergedFields(lines: readonly string[]): Fields {
  const values = new Map<string, string>()
  for (const fields of allFields(lines)) {
    for (const [key, value] of fields.values) {
      if (values.has(key)) fault(`a key stands twice in a reply: ${key}`)
      values.set(key, value)
    }
  }
  return { tag: '', values }
}

export function textOf(fields: Fields, key: string): string {
  return fields.values.get(key) ?? fault(`${key}= is missing${fields.tag ? ` in a line ${fields.tag}` : ''}`)
}

/** `-` and an empty value stand for a file that does not exist. */
export function textOrNull(fields: Fields, key: string): string | null {
  const value = fields.values.get(key)
  return value === undefined || value === '-' || value === '' ? null : value
}

/** A value that must fit a pattern; anything else is a fault. */
export function wordOf(fields: Fields, key: string, pattern: RegExp): string {
  const value = textOf(fields, key)
  return pattern.test(value) ? value : fault(`${key}= makes no sense: ${value.slice(0, 60)}`)
}

/** A whole number from 0 to 2^53-1. */
export function countOf(fields: Fields, key: string): number {
  const value = Number(wordOf(fields, key, /^\d{1,16}$/))
  return Number.isSafeInteger(value) ? value : fault(`${key}= is too large`)
}

export function countOrNull(fields: Fields, key: string): number | null {
  return textOrNull(fields, key) === null ? null : countOf(fields, key)
}

/** Seconds with a fraction, as the kernel log and /proc/uptime print them. */
export function secondsOf(fields: Fields, key: string): number {
  return Number(wordOf(fields, key, /^\d{1,12}(?:\.\d{1,9})?$/))
}

/** `0`, `1`, or null for a file that does not exist. */
export function flagOrNull(fields: Fields, key: string): boolean | null {
  return textOrNull(fields, key) === null ? null : wordOf(fields, key, /^[01]$/) === '1'
}

export const modulePattern = /^[A-Za-z0-9_]{1,55}$/
