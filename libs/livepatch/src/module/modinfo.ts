// .modinfo: NUL-separated key=value (include/linux/moduleparam.h).
import { sanitise } from '../sanitise.js'
import { Refuse } from './verdict.js'

/** A real module has some dozens; a hostile one may have 100,000, which cost nothing but are not kept. */
const keysMax = 4_096
const sectionMax = 1024 * 1024
/** Keys that decide something must say one thing. */
const single: readonly string[] = ['vermagic', 'livepatch', 'name', 'srcversion']

export function readModinfo(bytes: Uint8Array): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  let start = 0; let kept = 0
  const end = Math.min(bytes.length, sectionMax)
  for (let at = 0; at <= end && kept < keysMax; at++) {
    if (at < end && bytes[at] !== 0) continue
    if (at > start) {
      const text = latin1(bytes.subarray(start, Math.min(at, start + 4096)))
      const cut = text.indexOf('=')
      if (cut > 0) {
        const key = text.slice(0, cut)
        const values = found.get(key) ?? []
        values.push(sanitise(text.slice(cut + 1)))
        found.set(key, values)
        kept += 1
      }
    }
    start = at + 1
  }
  for (const key of single) if (new Set(found.get(key) ?? []).size > 1) throw new Refuse('AMBIGUOUS', key)
  return found
}

function latin1(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
