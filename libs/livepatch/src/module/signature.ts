// The appended signature (kernel/module_signature.c): … ELF | PKCS#7 | struct module_signature | magic.
import { Refuse, type SignatureFact } from './verdict.js'

const magic = '~Module signature appended~\n'
const structBytes = 12

/** The ELF part without the trailer, and what the trailer says. @throws when there is a mark but no signature. */
export function cutSignature(bytes: Uint8Array): { elf: Uint8Array; signature: SignatureFact | null } {
  const from = bytes.length - magic.length
  if (from < 0) return { elf: bytes, signature: null }
  for (let i = 0; i < magic.length; i++) if (bytes[from + i] !== magic.charCodeAt(i)) return { elf: bytes, signature: null }
  const at = from - structBytes
  if (at < 0) throw new Refuse('BAD_SIGNATURE_TRAILER', 'the file is too short')
  const length = ((bytes[at + 8] ?? 0) * 0x1000000) + ((bytes[at + 9] ?? 0) << 16) + ((bytes[at + 10] ?? 0) << 8) + (bytes[at + 11] ?? 0)
  const idType = bytes[at + 2] ?? 0
  if (length === 0 || length > at) throw new Refuse('BAD_SIGNATURE_TRAILER', `it claims ${length} bytes`)
  return { elf: bytes.subarray(0, at - length), signature: { bytes: length, idType } }
}
