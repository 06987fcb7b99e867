// Makes livepatch modules for tests, as hands, kpatch-build and klp-build leave them.
import { ascii, buildElf, type ElfSpec, type RelocationSpec, type SectionSpec, stringTable, type SymbolSpec, Words } from './build-elf.js'

export interface ModuleSpec extends Omit<ElfSpec, 'sections'> {
  readonly modinfo?: readonly string[]
  readonly sections?: readonly SectionSpec[]
}

/** What the modules of the lab say, in short. */
export const plainModinfo = ['livepatch=Y', 'license=GPL', 'depends=', 'name=lp_test', 'vermagic=6.12.1-test SMP preempt mod_unload modversions ']

/** NUL behind every entry; bytes above 0x7f are taken as they stand. */
export const modinfoBytes = (entries: readonly string[]): Uint8Array => ascii(entries.map((entry) => `${entry}\0`).join(''))

export function buildModule({ modinfo = plainModinfo, sections = [], ...rest }: ModuleSpec = {}): Uint8Array {
  return buildElf({ ...rest, sections: [{ name: '.modinfo', data: modinfoBytes(modinfo) }, ...sections] })
}

export interface KlpObjectSpec { readonly name: string | null; readonly functions: readonly string[]; readonly callbacks?: readonly number[] }
export interface KlpPatchSpec {
  readonly objects: readonly KlpObjectSpec[]
  readonly replace?: number
  readonly states?: boolean
  /** Sizes of klp_object and klp_func: 144 and 152 on 6.12. */
  readonly objectBytes?: number; readonly funcBytes?: number
}

/** struct klp_patch and its arrays in .data, with the symbols and relocations that a compiler makes. */
export function handWritten({ objects, replace = 0, states = false, objectBytes = 144, funcBytes = 152 }: KlpPatchSpec, more: ModuleSpec = {}): Uint8Array {
  const big = more.big === true
  const strings = stringTable(objects.flatMap((one) => [one.name ?? '', ...one.functions]))
  const symbols: SymbolSpec[] = [
    { name: 'here.strings', section: '.rodata.str1.1', type: 3 }, { name: 'here.text', section: '.text', type: 3 }, { name: 'here.data', section: '.data', type: 3 },
    { name: '__this_module', section: '.gnu.linkonce.this_module', type: 1, size: 1280 }, ...more.symbols ?? [],
  ]
  const relocations: RelocationSpec[] = [...more.relocations ?? []]
  const point = (offset: number, symbol: string, addend = 0): void => { relocations.push({ section: '.data', offset, symbol, addend }) }
  const objsAt = 224
  let end = objsAt + objectBytes * (objects.length + 1)
  symbols.push({ name: 'patch', section: '.data', type: 1, size: 200 }, { name: 'objs', section: '.data', type: 1, value: objsAt, size: end - objsAt })
  point(0, '__this_module'); point(8, 'here.data', objsAt)
  if (states) point(16, 'here.data', 160)
  objects.forEach((object, index) => {
    const at = objsAt + objectBytes * index
    if (object.name !== null) point(at, 'here.strings', strings.at(object.name))
    point(at + 8, 'here.data', end)
    for (const offset of object.callbacks ?? []) point(at + offset, 'here.text', 64)
    object.functions.forEach((name, nth) => { point(end + funcBytes * nth, 'here.strings', strings.at(name)); point(end + funcBytes * nth + 8, 'here.text', 16 * nth) })
    const size = funcBytes * (object.functions.length + 1)
    symbols.push({ name: `funcs${index}`, section: '.data', type: 1, value: end, size })
    end += size
  })
  const data = new Words(end, big).bytes
  data[24] = replace
  return buildModule({
    ...more, symbols, relocations,
    sections: [
      { name: '.text', data: new Uint8Array(4096) }, { name: '.rodata.str1.1', data: strings.data }, { name: '.data', data }, thisModule('lp_test'), ...more.sections ?? [],
    ],
  })
}

/** struct module: the name stands at 24. */
export function thisModule(name: string): SectionSpec {
  const data = new Uint8Array(1280)
  data.set(ascii(name), 24)
  return { name: '.gnu.linkonce.this_module', data }
}

/** `.kpatch.funcs` as kpatch-build leaves it; `pairs` are object and function. */
export function kpatchBuilt(pairs: readonly (readonly [string, string])[], { stride = 56, ...more }: ModuleSpec & { readonly stride?: number } = {}): Uint8Array {
  const strings = stringTable(pairs.flat())
  return buildModule({
    ...more,
    symbols: [{ name: 'here.strings', section: '.kpatch.strings', type: 3 }, ...more.symbols ?? []],
    relocations: pairs.flatMap(([object, name], index) => [
      { section: '.kpatch.funcs', offset: stride * index + 40, symbol: 'here.strings', addend: strings.at(name) },
      { section: '.kpatch.funcs', offset: stride * index + 48, symbol: 'here.strings', addend: strings.at(object) },
    ]),
    sections: [{ name: '.kpatch.strings', data: strings.data }, { name: '.kpatch.funcs', data: new Uint8Array(stride * pairs.length) }, ...more.sections ?? []],
  })
}

/** `.init.klp_objects` and `.init.klp_funcs` as klp-build leaves them. */
export function klpBuilt(objects: readonly KlpObjectSpec[], more: ModuleSpec = {}): Uint8Array {
  const strings = stringTable(objects.flatMap((one) => [one.name ?? '', ...one.functions]))
  const table = new Words(64 * objects.length, more.big === true)
  const relocations: RelocationSpec[] = []
  let nth = 0
  objects.forEach((object, index) => {
    const at = 64 * index
    if (object.name !== null) relocations.push({ section: '.init.klp_objects', offset: at, symbol: 'here.strings', addend: strings.at(object.name) })
    relocations.push({ section: '.init.klp_objects', offset: at + 8, symbol: 'here.funcs', addend: 24 * nth })
    for (const offset of object.callbacks ?? []) relocations.push({ section: '.init.klp_objects', offset: at + offset, symbol: 'here.funcs' })
    table.u32(at + 56, object.functions.length)
    for (const name of object.functions) relocations.push({ section: '.init.klp_funcs', offset: 24 * nth++, symbol: 'here.strings', addend: strings.at(name) })
  })
  return buildModule({
    ...more, relocations,
    symbols: [{ name: 'here.strings', section: '.rodata.klp.str1.1', type: 3 }, { name: 'here.funcs', section: '.init.klp_funcs', type: 3 }],
    sections: [{ name: '.rodata.klp.str1.1', data: strings.data }, { name: '.init.klp_objects', data: table.bytes }, { name: '.init.klp_funcs', data: new Uint8Array(24 * nth) }],
  })
}

/** The file with a signature behind it, as scripts/sign-file leaves it. */
export function signed(file: Uint8Array, { claims, idType = 2, signature = Uint8Array.of(0x30, 0x82, 1, 2, 3, 4), algo = 0 }: { readonly claims?: number; readonly idType?: number; readonly signature?: Uint8Array; readonly algo?: number } = {}): Uint8Array {
  const trailer = new Words(12, true).u32(8, claims ?? signature.length).bytes
  trailer[0] = algo
  trailer[2] = idType
  return Uint8Array.from([...file, ...signature, ...trailer, ...ascii('~Module signature appended~\n')])
}
