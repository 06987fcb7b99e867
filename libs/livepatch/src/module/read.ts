// A livepatch module's file, read without a kernel (DESIGN §5; mechanisms of the `.ko` format).
import { klpBuild, kpatchFuncs } from './built-tables.js'
import { Elf } from './elf.js'
import { findKlpPatch, type KlpFound } from './klp-structs.js'
import { readModinfo } from './modinfo.js'
import { cutSignature } from './signature.js'
import { type ModuleFacts, type ModuleVerdict, Refuse } from './verdict.js'

const fileBytesMax = 64 * 1024 * 1024
const packers: readonly (readonly [string, readonly number[]])[] = [['gzip', [0x1f, 0x8b]], ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]], ['zstd', [0x28, 0xb5, 0x2f, 0xfd]]]

/** What a module's file says of itself. Never throws, whatever the bytes are; costs what the file's size allows. */
export function readModuleFile(bytes: Uint8Array): ModuleVerdict {
  try { return { ok: true, facts: read(bytes) } } catch (error) {
    if (error instanceof Refuse) return { ok: false, code: error.code, says: error.message }
    // A fault of ours on a damaged file is no reason to fall over.
    return { ok: false, code: 'CORRUPT', says: 'The file is damaged in a way that has no name.' }
  }
}

function read(bytes: Uint8Array): ModuleFacts {
  if (bytes.length === 0) throw new Refuse('EMPTY')
  if (bytes.length > fileBytesMax) throw new Refuse('TOO_LARGE')
  for (const [packer, head] of packers) if (head.every((byte, index) => bytes[index] === byte)) throw new Refuse('COMPRESSED', packer)
  const { elf: image, signature } = cutSignature(bytes)
  const elf = new Elf(image)
  const section = elf.section('.modinfo')
  if (!section) throw new Refuse('NO_MODINFO')
  const info = readModinfo(elf.bytesOf(section))
  const one = (key: string): string | null => info.get(key)?.[0] ?? null
  if (!/^[Yy]/.test(one('livepatch') ?? '')) throw new Refuse('NOT_A_LIVEPATCH')
  const vermagic = one('vermagic')
  const kernelRelease = vermagic?.split(' ')[0] ?? ''
  if (vermagic === null || !/^[A-Za-z0-9][\w.+~-]{0,127}$/.test(kernelRelease)) throw new Refuse('NO_VERMAGIC')
  const name = (one('name') ?? '').replaceAll('-', '_')
  if (!/^[A-Za-z0-9_]{1,55}$/.test(name)) throw new Refuse('CORRUPT', 'its name cannot be a module\'s name')
  const tables = findTables(elf)
  return {
    name, kernelRelease, vermagic: vermagic.trim(), arch: elf.arch, srcversion: one('srcversion'), moduleBuildId: buildIdOf(elf),
    version: one('version'), description: one('description'), license: one('license'), depends: (one('depends') ?? '').split(',').filter((word) => word !== ''),
    objects: tables.objects, objectsSource: tables.source, replace: replaceOf(tables.klp, kernelRelease), rollbackRisk: riskOf(elf, tables), signature,
  }
}

interface Tables { readonly objects: ModuleFacts['objects']; readonly source: ModuleFacts['objectsSource']; readonly callbacks: boolean; readonly klp: KlpFound | null }

function findTables(elf: Elf): Tables {
  const kpatch = kpatchFuncs(elf)
  if (kpatch) return { objects: kpatch, source: 'kpatch.funcs', callbacks: false, klp: null }
  const built = klpBuild(elf)
  if (built) return { ...built, source: 'klp-build', klp: null }
  const klp = findKlpPatch(elf)
  return klp ? { objects: klp.objects, source: 'klp_object', callbacks: klp.callbacks, klp } : { objects: [], source: 'unknown', callbacks: false, klp: null }
}

/** `replace` stands behind `states`, a field that came with 5.5; in older layouts the byte is another. */
function replaceOf(klp: KlpFound | null, release: string): ModuleFacts['replace'] {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10))
  if (!klp || !(major > 5 || (major === 5 && minor >= 5))) return 'unknown'
  return klp.replace ? 'yes' : 'no'
}

/** The zero padding that kpatch-build always leaves is 8 bytes: no more means none. */
const emptyTableBytes = 8

function riskOf(elf: Elf, tables: Tables): ModuleFacts['rollbackRisk'] {
  const undefinedNames = elf.undefinedSymbols()
  const filled = (name: string): boolean => (elf.section(name)?.size ?? 0) > emptyTableBytes
  const reasons = [
    tables.callbacks || ['pre_patch', 'post_patch', 'pre_unpatch', 'post_unpatch'].some((when) => filled(`.kpatch.callbacks.${when}`)) ? 'it has callbacks' : null,
    undefinedNames.some((name) => name.startsWith('klp_shadow_')) ? 'it uses shadow variables' : null,
    tables.klp?.states === true || undefinedNames.some((name) => name === 'klp_get_state' || name === 'klp_get_prev_state') ? 'it changes system state (klp_state)' : null,
    filled('.kpatch.force') ? 'it skips the safety check for some functions' : null,
  ].filter((reason) => reason !== null)
  return { level: reasons.length === 0 ? 'probably' : 'needs-review', reasons }
}

/** The note of type 3, owner GNU. */
function buildIdOf(elf: Elf): string | null {
  const section = elf.section('.note.gnu.build-id')
  if (!section || section.size < 16) return null
  const [nameBytes, idBytes, type] = [elf.u32(section.offset), elf.u32(section.offset + 4), elf.u32(section.offset + 8)]
  if (nameBytes !== 4 || type !== 3 || idBytes === 0 || idBytes > 64 || 16 + idBytes > section.size) return null
  return Array.from(elf.bytesOf(section).subarray(16, 16 + idBytes), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
