// The appended signature (kernel/module_signature.c): … ELF | PKCS#7 | struct module_signature | magic.
import { Refuse, type SignatureFact } from './verdict.js'

const magic = '~Module signature appended~\n'
/** algo, hash, id_type, signer_len, key_id_len, three bytes of padding, sig_len (big-endian). */
const structBytes = 12
const idTypeAt = 2; const lengthAt = 8
/** With PKCS#7 everything but id_type and the length is zero, or the kernel answers EBADMSG whatever its policy. */
const zeroAt = [0, 1, 3, 4, 5, 6, 7]
const pkcs7 = 2
/** DER: a SEQUENCE. */
const sequenceTag = 0x30

/** The ELF part without the trailer, and what the trailer says. @throws when there is a mark but no signature. */
export function cutSignature(bytes: Uint8Array): { elf: Uint8Array; signature: SignatureFact | null } {
  const from = bytes.length - magic.length
  if (from < 0) return { elf: bytes, signature: null }
  for (let i = 0; i < magic.length; i++) if (bytes[from + i] !== magic.charCodeAt(i)) return { elf: bytes, signature: null }
  const at = from - structBytes
  if (at < 0) throw new Refuse('BAD_SIGNATURE_TRAILER', 'the file is too short', 0)
  const trailer = bytes.subarray(at, from)
  const length = new DataView(trailer.buffer, trailer.byteOffset, structBytes).getUint32(lengthAt)
  const idType = trailer[idTypeAt] ?? 0
  if (length === 0 || length > at) throw new Refuse('BAD_SIGNATURE_TRAILER', `it claims ${length} bytes`, at + lengthAt)
  const start = at - length
  if (idType === pkcs7) {
    if (zeroAt.some((offset) => trailer[offset] !== 0)) throw new Refuse('BAD_SIGNATURE_TRAILER', 'its description holds what no PKCS#7 signature has', at)
    if (bytes[start] !== sequenceTag) throw new Refuse('BAD_SIGNATURE_TRAILER', 'what stands in its place is no PKCS#7', start)
  }
  return { elf: bytes.subarray(0, start), signature: { bytes: length, idType } }
}
