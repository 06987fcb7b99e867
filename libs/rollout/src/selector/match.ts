// Does a host answer to a selector? Linear in both: no regular expression is built from what a person wrote.
import type { Field, Operator, SelectableHost, Selector } from './grammar.js'

/** A fact that is not known yet is absent, and so is a label the host does not carry. */
function valueOf(host: SelectableHost, field: Field): string | null {
  if (field.kind === 'fact') return host[field.name]
  return Object.hasOwn(host.labels, field.key) ? (host.labels[field.key] ?? null) : null
}

/**
 * Does `selector` name `host`? A comparison with an absent value is false, but `!=` and `!~` are true: `label.role != db`
 * names also the hosts without a role, as `not label.role = db` does.
 */
export function matches(selector: Selector, host: SelectableHost): boolean {
  switch (selector.kind) {
    case 'all': return true
    case 'has': return valueOf(host, selector.field) !== null
    case 'in': { const value = valueOf(host, selector.field); return value !== null && selector.values.includes(value) }
    case 'compare': return compare[selector.operator](valueOf(host, selector.field), selector.value)
    case 'not': return !matches(selector.of, host)
    case 'and': return selector.of.every((one) => matches(one, host))
    case 'or': return selector.of.some((one) => matches(one, host))
  }
}

type Compare = (value: string | null, wanted: string) => boolean

const ordered = (holds: (order: number) => boolean): Compare => (value, wanted) => value !== null && holds(versionOrder(value, wanted))

const compare: Readonly<Record<Operator, Compare>> = {
  '=': (value, wanted) => value === wanted,
  '!=': (value, wanted) => value !== wanted,
  '~': (value, wanted) => value !== null && globMatches(wanted, value),
  '!~': (value, wanted) => value === null || !globMatches(wanted, value),
  '<': ordered((order) => order < 0),
  '<=': ordered((order) => order <= 0),
  '>': ordered((order) => order > 0),
  '>=': ordered((order) => order >= 0),
}

/** `*` is any text, `?` one character. On a mismatch only the last star is tried again: at worst pattern × text, never more. */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let resume = 0
  while (t < text.length) {
    const c = pattern.charAt(p)
    if (c === '*') { star = p; resume = t; p += 1 }
    else if (p < pattern.length && (c === '?' || c === text.charAt(t))) { p += 1; t += 1 }
    else if (star >= 0) { p = star + 1; resume += 1; t = resume }
    else return false
  }
  while (pattern.charAt(p) === '*') p += 1
  return p === pattern.length
}

const piecesOf = (text: string): string[] => text.match(/\d+|[A-Za-z]+/g) ?? []
const digits = /^\d/

// Numbers of any length without losing a digit: leading zeros off, then by length, then by character.
function numberOrder(a: string, b: string): number {
  const [x, y] = [a.replace(/^0+(?=\d)/, ''), b.replace(/^0+(?=\d)/, '')]
  return x.length - y.length || textOrder(x, y)
}

const textOrder = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Orders versions as people read them: runs of digits by number, runs of letters by character, a number after letters
 * (6.1-rc2 < 6.1.0), and what is longer after what it begins with. Negative, 0 or positive.
 */
export function versionOrder(a: string, b: string): number {
  const [x, y] = [piecesOf(a), piecesOf(b)]
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const [left, right] = [x[i] ?? '', y[i] ?? '']
    const [leftIsNumber, rightIsNumber] = [digits.test(left), digits.test(right)]
    const order = leftIsNumber !== rightIsNumber ? (leftIsNumber ? 1 : -1) : leftIsNumber ? numberOrder(left, right) : textOrder(left, right)
    if (order !== 0) return order
  }
  return x.length - y.length
}
