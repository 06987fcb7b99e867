// The kernel's initramfs format (cpio "newc", Documentation/driver-api/early-userspace/buffer-format.rst), written here
// so that files get root as their owner and device nodes exist without anyone being root. Archives may be joined.

export type CpioEntry =
  | { readonly kind: 'folder', readonly path: string, readonly mode?: number }
  | { readonly kind: 'file', readonly path: string, readonly mode?: number, readonly bytes: Uint8Array }
  | { readonly kind: 'link', readonly path: string, readonly to: string }
  | { readonly kind: 'device', readonly path: string, readonly mode?: number, readonly major: number, readonly minor: number }

const TYPE = { folder: 0o040000, file: 0o100000, link: 0o120000, device: 0o020000 }
const MODE = { folder: 0o755, file: 0o644, link: 0o777, device: 0o600 }
const EMPTY = new Uint8Array(0)

/** One archive of the entries in their order; a folder must come before what it holds. Paths have no slash in front. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Uint8Array[] = []
  let inode = 1
  const add = (name: string, mode: number, bytes: Uint8Array, major = 0, minor = 0): void => {
    const encoded = Buffer.from(`${name}\0`)
    const fields = [inode++, mode, 0, 0, 1, 0, bytes.length, 0, 0, major, minor, encoded.length, 0]
    const head = Buffer.from(`070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`)
    parts.push(head, encoded, padding(head.length + encoded.length), bytes, padding(bytes.length))
  }
  for (const entry of entries) {
    if (/^\/|\0|(^|\/)\.\.(\/|$)/.test(entry.path) || entry.path === '') throw new Error(`Not a path inside an image: ${JSON.stringify(entry.path)}`)
    const permissions = entry.kind === 'link' ? MODE.link : entry.mode ?? MODE[entry.kind]
    const bytes = entry.kind === 'file' ? entry.bytes : entry.kind === 'link' ? Buffer.from(entry.to) : EMPTY
    if (entry.kind === 'device') add(entry.path, TYPE.device | permissions, bytes, entry.major, entry.minor)
    else add(entry.path, TYPE[entry.kind] | permissions, bytes)
  }
  add('TRAILER!!!', 0, EMPTY)
  return Buffer.concat(parts)
}

/** Names and contents are filled up to a multiple of four bytes. */
const padding = (length: number): Uint8Array => new Uint8Array((4 - length % 4) % 4)
