// A bounds-checked reader of relocatable ELF64 (System V gABI, chapter 4). Every number in the file is hostile.
import { Relocations, type Relocation, type Symbol } from './relocations.js'
import { Refuse } from './verdict.js'

export interface Section {
  readonly index: number; readonly name: string; readonly type: number
  readonly offset: number
  /** As the header claims; for what takes no room in the file it means nothing: use `bytesOf`. */
  readonly size: number
  readonly link: number; readonly info: number; readonly entrySize: number
}

const typeNull = 0
const typeSymtab = 2
const typeRela = 4
const typeNoBits = 8
const symbolUndefined = 0
/** Section numbers from here on have meanings of their own (SHN_LORESERVE). */
const sectionsMax = 0xff00
/** Structure sizes of ELF64. */
const headerBytes = 64; const sectionBytes = 64; const symbolBytes = 24; const relaBytes = 24

/** e_machine and byte order -> what `uname -m` says there. */
const machines: Readonly<Record<string, string>> = {
  '62 little': 'x86_64', '183 little': 'aarch64', '183 big': 'aarch64_be', '21 little': 'ppc64le', '21 big': 'ppc64', '22 big': 's390x',
  '258 little': 'loongarch64', '243 little': 'riscv64',
}
const kinds: Readonly<Record<number, string>> = { 2: 'a program', 3: 'a shared library', 4: 'a core dump' }

/** The largest modules of distributions have 30,000 symbols; 400,000 at about 100 bytes each are 40 MB here. */
const symbolsMax = 400_000
/** Relocations of the sections that are looked into, in all: a livepatch has some thousands; 300,000 at 150 bytes are 45 MB. */
const relocationsMax = 300_000
/** The kernel's longest symbol has 511 characters (KSYM_NAME_LEN); `.klp.sym.` puts a module's name and a position around it. */
const nameMax = 1_024
/** All names that are looked at, together: 65,280 sections and 400,000 symbols of 40 characters are 19 million. */
const namesMax = 20_000_000

type Table = Pick<Section, 'offset' | 'size'>

export class Elf {
  readonly arch: string
  readonly endianness: 'little' | 'big'
  readonly sections: readonly Section[]
  private readonly view: DataView
  private readonly little: boolean
  private readonly byName = new Map<string, Section[]>()
  /** Relocation tables by the section they change. */
  private readonly relaOf = new Map<number, Section[]>()
  private readonly relocationsRead = new Map<number, Relocations>()
  private symbolTable: readonly Symbol[] | null = null
  private symbolNames: Table | null = null
  private relocationsLeft = relocationsMax
  private namesLeft = namesMax

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length < 4 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) throw new Refuse('NOT_ELF', '', 0)
    if (bytes.length < headerBytes) throw new Refuse('TRUNCATED', 'the end of the ELF header', bytes.length)
    if (bytes[4] !== 2) throw new Refuse('UNSUPPORTED', bytes[4] === 1 ? '32-bit' : `of class ${bytes[4]}`, 4)
    if (bytes[5] !== 1 && bytes[5] !== 2) throw new Refuse('CORRUPT', 'its byte order is unknown', 5)
    this.little = bytes[5] === 1
    this.endianness = this.little ? 'little' : 'big'
    const type = this.u16(16)
    if (type !== 1) throw new Refuse('NOT_RELOCATABLE', kinds[type] ?? `of type ${type}`, 16)
    const arch = machines[`${this.u16(18)} ${this.endianness}`]
    if (arch === undefined) throw new Refuse('UNSUPPORTED', `for machine ${this.u16(18)} (${this.endianness}-endian)`, 18)
    this.arch = arch
    this.sections = this.readSections()
    for (const section of this.sections) {
      put(this.byName, section.name, section)
      if (section.type === typeRela) put(this.relaOf, section.info, section)
    }
  }

  private u16(offset: number): number { return this.view.getUint16(this.within(offset, 2, 'a half word'), this.little) }

  u32(offset: number): number { return this.view.getUint32(this.within(offset, 4, 'a word'), this.little) }

  /** What does not fit a double exactly lies beyond any file, and stays so. */
  private u64(offset: number): number {
    const value = this.view.getBigUint64(this.within(offset, 8, 'a long word'), this.little)
    return value > 0x1f_ffff_ffff_ffffn ? Number.MAX_SAFE_INTEGER : Number(value)
  }

  private within(offset: number, size: number, what: string): number {
    if (!(offset >= 0) || offset + size > this.bytes.length) throw new Refuse('TRUNCATED', what, offset)
    return offset
  }

  private readSections(): Section[] {
    const start = this.u64(40); const entry = this.u16(58); const count = this.u16(60); const names = this.u16(62)
    if (start === 0) throw new Refuse('CORRUPT', 'it has no section headers', 40)
    if (entry !== sectionBytes) throw new Refuse('CORRUPT', `its section headers are ${entry} bytes long, not ${sectionBytes}`, 58)
    // With more, the count stands elsewhere; the kernel's loader does not look there.
    if (count === 0 || count >= sectionsMax) throw new Refuse('CORRUPT', 'it claims no sections, or more than the kernel can load', 60)
    this.within(start, count * sectionBytes, 'the table of section headers')
    if (names >= count) throw new Refuse('CORRUPT', 'its section names lie in a section that does not exist', 62)
    const raw = Array.from({ length: count }, (_, index) => this.readHeader(start + index * sectionBytes, index))
    const table = raw[names]
    if (!table || !this.isStrings(table)) throw new Refuse('CORRUPT', 'its section names cannot be read, or do not end', 62)
    return raw.map(({ nameAt, ...section }) => ({ ...section, name: this.textIn(table, nameAt) }))
  }

  private readHeader(at: number, index: number): Omit<Section, 'name'> & { nameAt: number } {
    const section = {
      nameAt: this.u32(at), index, type: this.u32(at + 4), offset: this.u64(at + 24), size: this.u64(at + 32),
      link: this.u32(at + 40), info: this.u32(at + 44), entrySize: this.u64(at + 56),
    }
    if (takesRoom(section)) this.within(section.offset, section.size, `section ${index}`)
    return section
  }

  /** The section of that name. @throws when there are two: the kernel and we might look at different ones. */
  section(name: string): Section | null {
    const found = this.byName.get(name)
    if (!found) return null
    if (found.length > 1) throw new Refuse('CORRUPT', `it has ${found.length} sections called ${name}`, found[1]?.offset)
    return found[0] ?? null
  }

  /** Bytes that the section really has in the file: none for .bss and the like, whatever size they claim. */
  bytesOf(section: Section): Uint8Array {
    return takesRoom(section) ? this.bytes.subarray(section.offset, section.offset + section.size) : new Uint8Array(0)
  }

  /** Text up to its NUL, inside a table. @throws when there is none within `nameMax`. */
  private textIn(table: Table, at: number): string {
    if (at >= table.size) { if (at === 0) return ''; throw new Refuse('CORRUPT', 'a name lies outside its table', table.offset) }
    const start = table.offset + at
    const room = this.bytes.subarray(start, Math.min(table.offset + table.size, start + nameMax + 1))
    const length = room.indexOf(0)
    if (length < 0) throw new Refuse('CORRUPT', room.length > nameMax ? `a name is longer than ${nameMax} characters` : 'a name does not end inside its table', start)
    this.namesLeft -= length + 1
    if (this.namesLeft < 0) throw new Refuse('CORRUPT', `its names are longer than ${namesMax / 1_000_000} million characters together`)
    return String.fromCharCode(...room.subarray(0, length))
  }

  /** A table of names ends in a NUL, as the kernel's loader and kmod ask too. */
  private isStrings(table: Table & { readonly type: number }): boolean {
    return takesRoom(table) && (table.size === 0 || this.bytes[table.offset + table.size - 1] === 0)
  }

  symbols(): readonly Symbol[] {
    this.symbolTable ??= this.readSymbols()
    return this.symbolTable
  }

  private readSymbols(): Symbol[] {
    const tables = this.sections.filter((one) => one.type === typeSymtab)
    if (tables.length > 1) throw new Refuse('CORRUPT', 'it has more than one symbol table', tables[1]?.offset)
    const table = tables[0]
    if (!table) return []
    const names = this.sections[table.link]
    if (!names || !this.isStrings(names) || table.entrySize !== symbolBytes) throw new Refuse('CORRUPT', 'its symbol table cannot be read', table.offset)
    const count = Math.floor(table.size / symbolBytes)
    if (count > symbolsMax) throw new Refuse('CORRUPT', `it claims ${count} symbols`, table.offset)
    this.symbolNames = names
    return Array.from({ length: count }, (_, index) => {
      const at = table.offset + index * symbolBytes
      return { nameAt: this.u32(at), type: (this.bytes[at + 4] ?? 0) & 15, section: this.u16(at + 6), value: this.u64(at + 8), size: this.u64(at + 16) }
    })
  }

  nameOf(symbol: Symbol): string { return this.symbolNames ? this.textIn(this.symbolNames, symbol.nameAt) : '' }

  undefinedSymbols(): string[] { return this.symbols().filter((one) => one.section === symbolUndefined && one.nameAt !== 0).map((one) => this.nameOf(one)) }

  /** Relocations that change `section`. */
  relocations(section: Section): Relocations {
    let found = this.relocationsRead.get(section.index)
    if (!found) this.relocationsRead.set(section.index, found = new Relocations((this.relaOf.get(section.index) ?? []).flatMap((table) => this.readRela(table))))
    return found
  }

  private readRela(table: Section): Relocation[] {
    if (table.entrySize !== relaBytes) throw new Refuse('CORRUPT', `the relocations of section ${table.info} cannot be read`, table.offset)
    const count = Math.floor(table.size / relaBytes)
    this.relocationsLeft -= count
    if (this.relocationsLeft < 0) throw new Refuse('CORRUPT', `it claims more than ${relocationsMax} relocations`, table.offset)
    const symbols = this.symbols()
    return Array.from({ length: count }, (_, index) => {
      const at = table.offset + index * relaBytes
      const symbol = symbols[this.u32(at + (this.little ? 12 : 8))]
      if (!symbol) throw new Refuse('CORRUPT', 'a relocation names a symbol that does not exist', at)
      return { offset: this.u64(at), symbol, addend: Number(this.view.getBigInt64(this.within(at + 16, 8, 'a relocation'), this.little)) }
    })
  }

  /** Where a relocation points: a place in one of the file's sections, or null for what lies outside. */
  placeOf(relocation: Relocation): { section: Section; offset: number } | null {
    const section = relocation.symbol.section === symbolUndefined ? undefined : this.sections[relocation.symbol.section]
    const offset = relocation.symbol.value + relocation.addend
    return section && offset >= 0 && offset < section.size ? { section, offset } : null
  }

  /** The string a relocation points to; null when it points to none. */
  stringAt(relocation: Relocation | null): string | null {
    const place = relocation ? this.placeOf(relocation) : null
    return place && takesRoom(place.section) ? this.textIn(place.section, place.offset) : null
  }
}

const takesRoom = (section: { readonly type: number }): boolean => section.type !== typeNull && section.type !== typeNoBits

function put<K>(map: Map<K, Section[]>, key: K, section: Section): void {
  const list = map.get(key)
  if (list) list.push(section); else map.set(key, [section])
}
