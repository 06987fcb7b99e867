// Makes ELF files for tests: relocatable ones of either byte order, as a kernel's build would leave them, or wrong on purpose.

export interface SectionSpec {
  readonly name: string
  /** SHT_PROGBITS (1) when it is not said. */
  readonly type?: number
  readonly data?: Uint8Array
  /** What the header claims, when it is not the data's size. */
  readonly size?: number
  readonly link?: number; readonly info?: number; readonly entrySize?: number
}
/** `section` is a section's name, '' for an undefined symbol, or a reserved number. Types: 0 none, 1 object, 2 function. */
export interface SymbolSpec { readonly name: string; readonly section: string | number; readonly type?: number; readonly value?: number; readonly size?: number }
/** Changes `section` at `offset` to the place of `symbol` plus `addend`. */
export interface RelocationSpec { readonly section: string; readonly offset: number; readonly symbol: string; readonly addend?: number }
export interface ElfSpec {
  readonly sections: readonly SectionSpec[]
  readonly symbols?: readonly SymbolSpec[]
  readonly relocations?: readonly RelocationSpec[]
  readonly machine?: number
  readonly type?: number
  readonly big?: boolean
}

export const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

/** A table of strings, each ended by a NUL, and where each begins. */
export function stringTable(texts: readonly string[]): { readonly data: Uint8Array; readonly at: (text: string) => number } {
  const places = new Map<string, number>()
  let all = '\0'
  for (const text of texts) if (!places.has(text)) { places.set(text, all.length); all += `${text}\0` }
  return { data: ascii(all), at: (text) => (text === '' ? 0 : places.get(text) ?? 0) }
}

/** Writes numbers in the file's byte order. */
export class Words {
  readonly bytes: Uint8Array
  private readonly view: DataView
  constructor(size: number, private readonly big: boolean) { this.bytes = new Uint8Array(size); this.view = new DataView(this.bytes.buffer) }
  u16(at: number, value: number): this { this.view.setUint16(at, value, !this.big); return this }
  u32(at: number, value: number): this { this.view.setUint32(at, value, !this.big); return this }
  u64(at: number, value: number): this { this.view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), !this.big); return this }
}

export function buildElf(spec: ElfSpec): Uint8Array {
  const { big = false, symbols = [], relocations = [] } = spec
  const sections: SectionSpec[] = [{ name: '', type: 0 }, ...spec.sections]
  const indexOf = (name: string): number => sections.findIndex((section) => section.name === name)
  const names = stringTable(symbols.map((symbol) => symbol.name))
  const symtab = new Words(24 * (symbols.length + 1), big)
  symbols.forEach(({ name, section, type = 0, value = 0, size = 0 }, index) => {
    const at = 24 * (index + 1)
    symtab.u32(at, names.at(name)).u16(at + 6, typeof section === 'number' ? section : section === '' ? 0 : indexOf(section)).u64(at + 8, value).u64(at + 16, size)
    symtab.bytes[at + 4] = type
  })
  const symtabIndex = sections.length
  sections.push({ name: '.symtab', type: 2, data: symtab.bytes, link: symtabIndex + 1, entrySize: 24 }, { name: '.strtab', type: 3, data: names.data })
  for (const target of new Set(relocations.map((one) => one.section))) {
    const own = relocations.filter((one) => one.section === target)
    const rela = new Words(24 * own.length, big)
    own.forEach(({ offset, symbol, addend = 0 }, index) => {
      const number = symbols.findIndex((one) => one.name === symbol) + 1
      rela.u64(24 * index, offset).u64(24 * index + 16, addend).u32(24 * index + (big ? 8 : 12), number).u32(24 * index + (big ? 12 : 8), 1)
    })
    sections.push({ name: `.rela${target}`, type: 4, data: rela.bytes, link: symtabIndex, info: indexOf(target), entrySize: 24 })
  }
  return layOut(sections, spec, big)
}

/** Header, contents at multiples of eight, then the table of sections. */
function layOut(given: readonly SectionSpec[], { type = 1, machine = 62 }: ElfSpec, big: boolean): Uint8Array {
  const names = stringTable([...given.map((section) => section.name), '.shstrtab'])
  const sections = [...given, { name: '.shstrtab', type: 3, data: names.data }]
  let end = 64
  const places = sections.map(({ data }) => { const place = end; end += Math.ceil((data?.length ?? 0) / 8) * 8; return place })
  const file = new Words(end + 64 * sections.length, big)
  file.bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, big ? 2 : 1, 1])
  file.u16(16, type).u16(18, machine).u32(20, 1).u64(40, end).u16(52, 64).u16(58, 64).u16(60, sections.length).u16(62, sections.length - 1)
  sections.forEach((section, index) => {
    const at = end + 64 * index; const place = places[index] ?? 0
    if (section.data) file.bytes.set(section.data, place)
    file.u32(at, names.at(section.name)).u32(at + 4, section.type ?? 1).u64(at + 24, index === 0 ? 0 : place).u64(at + 32, section.size ?? section.data?.length ?? 0)
    file.u32(at + 40, section.link ?? 0).u32(at + 44, section.info ?? 0).u64(at + 48, 8).u64(at + 56, section.entrySize ?? 0)
  })
  return file.bytes
}
