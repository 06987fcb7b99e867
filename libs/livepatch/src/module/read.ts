// A livepatch module's file, read without a kernel (DESIGN §5).
import { klpBuild, kpatchFuncs } from './built-tables.js'
import { Elf } from './elf.js'
import { findKlpPatch, type KlpFound } from './klp-structs.js'
import { type Modinfo, parametersOf, readModinfo } from './modinfo.js'
import { referencesOf } from './references.js'
import { cutSignature } from './signature.js'
import { type ModuleFacts, type ModuleFlavour, type ModuleVerdict, Refuse } from './verdict.js'

const fileBytesMax = 64 * 1024 * 1024
const packers: readonly (readonly [string, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]], ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]], ['zstd', [0x28, 0xb5, 0x2f, 0xfd]], ['bzip2', [0x42, 0x5a, 0x68]],
]
const flavours: Readonly<Record<ModuleFlavour, string>> = { klp: 'the kernel\'s own livepatch interface', 'kpatch-core': 'kpatch\'s own core module (kpatch.ko)' }

/**
 * What a module's file says of itself. Never throws, whatever the bytes are; time and memory are bounded by named limits
 * of each part, so that 64 MiB of anything cost less than two seconds.
 * @param accepted flavours that the caller can load; others are refused by name.
 */
export function readModuleFile(bytes: Uint8Array, accepted: readonly ModuleFlavour[] = ['klp']): ModuleVerdict {
  try {
    const facts = read(bytes)
    if (!accepted.includes(facts.flavour)) throw new Refuse('OTHER_FLAVOUR', flavours[facts.flavour])
    return { ok: true, facts }
  } catch (error) {
    if (error instanceof Refuse) return { ok: false, code: error.code, says: error.message, ...(error.at === undefined ? {} : { at: error.at }) }
    // A fault of ours on a damaged file is no reason to fall over.
    return { ok: false, code: 'CORRUPT', says: 'The file is damaged in a way that has no name.' }
  }
}

function read(bytes: Uint8Array): ModuleFacts {
  if (bytes.length === 0) throw new Refuse('EMPTY')
  if (bytes.length > fileBytesMax) throw new Refuse('TOO_LARGE')
  for (const [packer, head] of packers) if (head.every((byte, index) => bytes[index] === byte)) throw new Refuse('COMPRESSED', packer, 0)
  const { elf: image, signature } = cutSignature(bytes)
  const elf = new Elf(image)
  const section = elf.section('.modinfo')
  if (!section) throw new Refuse('NO_MODINFO')
  const info = readModinfo(elf.bytesOf(section))
  const one = (key: string): string | null => info.get(key)?.[0] ?? null
  const depends = (one('depends') ?? '').split(',').filter((word) => word !== '')
  const flavour = flavourOf(elf, one('livepatch'), depends)
  const vermagic = one('vermagic')
  const kernelRelease = vermagic?.split(' ')[0] ?? ''
  if (vermagic === null || !/^[A-Za-z0-9][\w.+~-]{0,127}$/.test(kernelRelease)) throw new Refuse('NO_VERMAGIC')
  const tables = findTables(elf)
  const parameters = parametersOf(info)
  return {
    name: nameOf(elf, info), flavour, kernelRelease, vermagic: vermagic.trim(), arch: elf.arch, endianness: elf.endianness,
    srcversion: one('srcversion'), moduleBuildId: buildIdOf(elf),
    version: one('version'), description: one('description'), license: one('license'), depends, intree: one('intree') === 'Y', retpoline: one('retpoline') === 'Y',
    klpGitRevision: one('klpgitrev'), parameters, objects: tables.objects, objectsSource: tables.source, references: referencesOf(elf),
    // A parameter of that name may say something else when it is loaded.
    replace: parameters.some(({ name }) => name === 'replace') ? 'unknown' : replaceOf(tables.klp, kernelRelease),
    rollbackRisk: riskOf(elf, tables), signature,
  }
}

/** The kernel looks for the key `livepatch` since 4.7; kpatch's core is loaded first by whoever depends on it. */
function flavourOf(elf: Elf, livepatch: string | null, depends: readonly string[]): ModuleFlavour {
  if (livepatch === 'Y') return 'klp'
  if (livepatch === null && depends.includes('kpatch') && elf.section('.kpatch.funcs')) return 'kpatch-core'
  throw new Refuse('NOT_A_LIVEPATCH')
}

/** struct module begins with its state, a list and its name, except where the kernel was built to shuffle it. */
const structName = { at: 24, bytes: 56 }

/** The name under which the kernel will know it. The struct decides there, .modinfo is what tools show: they must agree. */
function nameOf(elf: Elf, info: Modinfo): string {
  const section = elf.section('.gnu.linkonce.this_module')
  const bytes = section ? elf.bytesOf(section).subarray(structName.at, structName.at + structName.bytes) : new Uint8Array(0)
  const own = String.fromCharCode(...bytes.subarray(0, Math.max(0, bytes.indexOf(0))))
  const said = info.get('name')?.[0] ?? own
  if (own !== '' && own.replaceAll('-', '_') !== said.replaceAll('-', '_')) throw new Refuse('AMBIGUOUS', 'its name', section?.offset)
  const name = said.replaceAll('-', '_')
  if (!/^[A-Za-z0-9_]{1,55}$/.test(name)) throw new Refuse('CORRUPT', 'its name cannot be a module\'s name')
  return name
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
  if (!klp || klp.replace === null || !(major > 5 || (major === 5 && minor >= 5))) return 'unknown'
  return klp.replace ? 'yes' : 'no'
}

/** The zero padding that kpatch-build always leaves is 8 bytes: no more means none. */
const emptyTableBytes = 8
const callbackTables = ['pre_patch', 'post_patch', 'pre_unpatch', 'post_unpatch'].map((when) => `.kpatch.callbacks.${when}`)

function riskOf(elf: Elf, tables: Tables): ModuleFacts['rollbackRisk'] {
  const used = elf.undefinedSymbols()
  const filled = (name: string): boolean => { const section = elf.section(name); return section !== null && elf.bytesOf(section).length > emptyTableBytes }
  const reasons = [
    tables.source === 'unknown' ? 'what it patches could not be read from the file, so callbacks cannot be ruled out' : null,
    tables.callbacks || callbackTables.some(filled) ? 'it has callbacks' : null,
    used.some((name) => /^k(?:lp|patch)_shadow_/.test(name)) ? 'it uses shadow variables' : null,
    tables.klp?.states === true || used.some((name) => name === 'klp_get_state' || name === 'klp_get_prev_state') ? 'it changes system state (klp_state)' : null,
    filled('.kpatch.force') ? 'it skips the safety check for some functions' : null,
  ].filter((reason) => reason !== null)
  return { level: reasons.length === 0 ? 'probably' : 'needs-review', reasons }
}

/** The longest build ids of linkers are SHA-256. */
const buildIdMax = 64

const typeNote = 7
/** Lengths of owner and content, type 3 (NT_GNU_BUILD_ID), the owner. */
const owner = 'GNU\0'
const noteBytes = 12 + owner.length

/** The first note of the section that hosts show as /sys/module/NAME/notes/.note.gnu.build-id. */
function buildIdOf(elf: Elf): string | null {
  const section = elf.section('.note.gnu.build-id')
  const note = section?.type === typeNote ? elf.bytesOf(section) : new Uint8Array(0)
  if (!section || note.length < noteBytes) return null
  const [ownerBytes, idBytes, type] = [elf.u32(section.offset), elf.u32(section.offset + 4), elf.u32(section.offset + 8)]
  if (ownerBytes !== owner.length || type !== 3 || String.fromCharCode(...note.subarray(12, noteBytes)) !== owner) return null
  if (idBytes === 0 || idBytes > buildIdMax || noteBytes + idBytes > note.length) return null
  return Array.from(note.subarray(noteBytes, noteBytes + idBytes), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
