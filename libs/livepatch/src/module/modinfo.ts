// .modinfo: NUL-separated key=value (include/linux/moduleparam.h).
import { sanitise } from '../sanitise.js'
import { type ModuleParameter, Refuse } from './verdict.js'
import { utf8Text } from './utf8.js'

/** The longest lists are aliases of drivers, some hundreds; a livepatch has about a dozen entries and its parameters. */
const keysMax = 4_096
/** 4,096 entries of 256 bytes. */
const bytesMax = 1024 * 1024
/** A description longer than that is shown cut; nothing that decides anything is longer. */
const entryMax = 4_096
/** Keys that decide something must say one thing: the kernel takes the first, other readers may take the last. */
const single: readonly string[] = ['vermagic', 'livepatch', 'name', 'srcversion']

export type Modinfo = ReadonlyMap<string, readonly string[]>

export function readModinfo(bytes: Uint8Array): Modinfo {
  if (bytes.length > bytesMax) throw new Refuse('CORRUPT', 'its .modinfo is larger than 1 MiB')
  if (bytes.length > 0 && bytes.at(-1) !== 0) throw new Refuse('CORRUPT', 'its .modinfo does not end')
  const found = new Map<string, string[]>()
  let kept = 0
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start)
    if (end > start) {
      const text = utf8Text(bytes.subarray(start, Math.min(end, start + entryMax)))
      const cut = text.indexOf('=')
      if (cut > 0) {
        if (++kept > keysMax) throw new Refuse('CORRUPT', `its .modinfo has more than ${keysMax} entries`)
        const key = text.slice(0, cut); const value = sanitise(text.slice(cut + 1))
        const values = found.get(key)
        if (values) values.push(value); else found.set(key, [value])
      }
    }
    start = end + 1
  }
  for (const key of single) if (new Set(found.get(key) ?? []).size > 1) throw new Refuse('AMBIGUOUS', key)
  return found
}

/** `parm=name:description` and `parmtype=name:type`, in the order of the file. */
export function parametersOf(info: Modinfo): ModuleParameter[] {
  const split = (entry: string): readonly [string, string] => {
    const cut = entry.indexOf(':')
    return cut < 0 ? [entry, ''] : [entry.slice(0, cut), entry.slice(cut + 1)]
  }
  const types = new Map((info.get('parmtype') ?? []).map(split))
  const descriptions = new Map((info.get('parm') ?? []).map(split))
  return [...new Set([...types.keys(), ...descriptions.keys()])].map((name) => ({ name, type: types.get(name) ?? null, description: descriptions.get(name) ?? null }))
}
