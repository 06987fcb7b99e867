// UTF-8 without a platform's decoder, which this library does not have.

/** Text of the bytes; U+FFFD for each byte that belongs to no well-formed sequence (Unicode 17, table 3-7). */
export function utf8Text(bytes: Uint8Array): string {
  const parts: string[] = []
  for (let at = 0; at < bytes.length;) {
    const length = sequenceAt(bytes, at)
    parts.push(length === 0 ? '\ufffd' : String.fromCodePoint(codePointOf(bytes, at, length)))
    at += length || 1
  }
  return parts.join('')
}

/** Lead bytes -> length, and the range of the byte after them: neither overlong forms nor surrogates. */
const leads: readonly (readonly [from: number, to: number, length: number, low: number, high: number])[] = [
  [0x00, 0x7f, 1, 0, 0], [0xc2, 0xdf, 2, 0x80, 0xbf], [0xe0, 0xe0, 3, 0xa0, 0xbf], [0xe1, 0xec, 3, 0x80, 0xbf], [0xed, 0xed, 3, 0x80, 0x9f],
  [0xee, 0xef, 3, 0x80, 0xbf], [0xf0, 0xf0, 4, 0x90, 0xbf], [0xf1, 0xf3, 4, 0x80, 0xbf], [0xf4, 0xf4, 4, 0x80, 0x8f],
]

function sequenceAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] ?? 0
  const lead = leads.find(([from, to]) => byte >= from && byte <= to)
  if (!lead) return 0
  const [, , length, low, high] = lead
  for (let i = 1; i < length; i++) {
    const next = bytes[at + i] ?? 0
    if (next < (i === 1 ? low : 0x80) || next > (i === 1 ? high : 0xbf)) return 0
  }
  return length
}

/** Bits that a lead byte of that length carries. */
const leadBits: Readonly<Record<number, number>> = { 1: 0x7f, 2: 0x1f, 3: 0x0f, 4: 0x07 }

function codePointOf(bytes: Uint8Array, at: number, length: number): number {
  let code = (bytes[at] ?? 0) & (leadBits[length] ?? 0)
  for (let i = 1; i < length; i++) code = (code << 6) | ((bytes[at + i] ?? 0) & 0x3f)
  return code
}
