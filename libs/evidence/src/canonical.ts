// Canonical JSON: the same value gives the same bytes, whoever stored it in between. Postgres's jsonb reorders keys,
// drops nothing else, and refuses NUL and lone surrogates: what it would change or refuse is refused here first.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Nesting beyond this is refused: no event comes near it, and a hostile one must not exhaust the stack. */
export const depthMax = 40

/**
 * Canonical text in the manner of RFC 8785: keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them.
 * @throws TypeError on what JSON or jsonb cannot hold: undefined in arrays, non-finite numbers, -0 is written 0,
 * integers beyond 2^53, NUL, lone surrogates, nesting deeper than `depthMax`.
 */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > depthMax) throw new TypeError(`canonical JSON: nested deeper than ${depthMax}`)
  if (value === null) return 'null'
  switch (typeof value) {
    case 'boolean': return value ? 'true' : 'false'
    case 'number': return canonicalNumber(value)
    case 'string': return canonicalString(value)
    case 'object': return Array.isArray(value) ? `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]` : canonicalObject(value as Record<string, unknown>, depth)
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
  const parts: string[] = []
  for (const key of Object.keys(value).sort()) {
    const member = value[key]
    // As JSON.stringify does: a member that is undefined is not there.
    if (member !== undefined) parts.push(`${canonicalString(key)}:${canonicalJson(member, depth + 1)}`)
  }
  return `{${parts.join(',')}}`
}

/** Text that can be stored: NUL removed, lone surrogates replaced, in every string of the value. */
export function storable<T>(value: T): T {
  if (typeof value === 'string') return value.replaceAll('\u0000', '').toWellFormed() as T
  if (Array.isArray(value)) return value.map((item: unknown) => storable(item)) as T
  if (typeof value === 'number' && !Number.isFinite(value)) return null as T
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined).map(([key, member]) => [storable(key), storable(member)])) as T
  return value
}
