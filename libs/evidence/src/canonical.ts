// Canonical JSON: the same value gives the same bytes, whoever stored it in between. Postgres's jsonb reorders keys,
// writes numbers its own way, and refuses NUL and lone surrogates: what it would change or refuse is refused here first.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Nesting beyond this is refused: no event comes near it, and a hostile one must not exhaust the stack. */
export const depthMax = 40

/**
 * Canonical text in the manner of RFC 8785: keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them.
 * -0 is written 0, as jsonb reads it back.
 * @throws TypeError on what JSON or jsonb cannot hold unchanged: undefined and holes in arrays, non-finite numbers, integers
 * beyond 2^53, NUL, lone surrogates, objects that are no plain ones (a Date, a Map), nesting deeper than `depthMax`.
 */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > depthMax) throw new TypeError(`canonical JSON: nested deeper than ${depthMax}`)
  if (value === null) return 'null'
  switch (typeof value) {
    case 'boolean': return value ? 'true' : 'false'
    case 'number': return canonicalNumber(value)
    case 'string': return canonicalString(value)
    case 'object': return Array.isArray(value) ? `[${Array.from(value, (item: unknown) => canonicalJson(item, depth + 1)).join(',')}]` : canonicalObject(value as Record<string, unknown>, depth)
    default: throw new TypeError(`canonical JSON: a ${typeof value} cannot be written`)
  }
}

function canonicalNumber(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError('canonical JSON: a number must be finite')
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new TypeError('canonical JSON: an integer beyond 2^53 must be written as a string')
  return Object.is(value, -0) ? '0' : JSON.stringify(value)
}

function canonicalString(value: string): string {
  if (value.includes('\u0000')) throw new TypeError('canonical JSON: NUL cannot be stored')
  if (!value.isWellFormed()) throw new TypeError('canonical JSON: a lone surrogate cannot be stored')
  return JSON.stringify(value)
}

function canonicalObject(value: Record<string, unknown>, depth: number): string {
  if (!isPlain(value)) throw new TypeError('canonical JSON: only plain objects and arrays can be written')
  const parts: string[] = []
  for (const key of Object.keys(value).sort()) {
    const member = value[key]
    // As JSON.stringify does: a member that is undefined is not there.
    if (member !== undefined) parts.push(`${canonicalString(key)}:${canonicalJson(member, depth + 1)}`)
  }
  return `{${parts.join(',')}}`
}

/** Not by identity: an object from another thread or realm is plain as well. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/**
 * The value as jsonb will give it back: NUL removed and lone surrogates replaced in every string and key, and for the rest
 * what JSON.stringify makes of it (a Date is its text, undefined members go, what is no number is null). What is nested too
 * deep and integers that are too large stay as they are, so that `canonicalJson` refuses them rather than this changing them.
 */
export function storable<T>(value: T, depth = 0): T {
  if (typeof value === 'string') return value.replaceAll('\u0000', '').toWellFormed() as T
  if (typeof value === 'number') return (Number.isFinite(value) ? value : null) as T
  if (typeof value !== 'object' || value === null || depth > depthMax) return value
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return storable(toJSON.call(value) as T, depth + 1)
  if (Array.isArray(value)) return Array.from(value, (item: unknown) => isNothing(item) ? null : storable(item, depth + 1)) as T
  const members = Object.entries(value).filter(([, member]) => !isNothing(member))
  return Object.fromEntries(members.map(([key, member]) => [storable(key), storable(member, depth + 1)])) as T
}

const isNothing = (value: unknown): boolean => value === undefined || typeof value === 'function' || typeof value === 'symbol'
