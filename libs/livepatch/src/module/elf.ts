// A bounds-checked reader of relocatable ELF64 (System V gABI, chapter 4). Every offset in the file is hostile.
import { Refuse } from './verdict.js'

export interface Section {
  readonly index: number; readonly name: string; readonly type: number; readonly flags: number
  readonly offset: number; readonly size: number; readonly link: number; readonly info: number; readonly entrySize: number
}
export interface Symbol { readonly name: string; readonly value: number; readonly size: number; readonly section: number; readonly type: number }
export interface Relocation { readonly offset: number; readonly symbol: Symbol; readonly addend: number }

const typeNoBits = 8
const typeRela = 4
const typeSymtab = 2
const symbolUndefined = 0

/** e_machine -> what `uname -m` says there. */
const machines: Readonly<Record<number, string>> = { 62: 'x86_64', 183: 'aarch64', 21: 'ppc64le', 22: 's390x', 258: 'loongarch64', 243: 'riscv64' }
const kinds: Readonly<Record<number, string>> = { 2: 'a program', 3: 'a shared library', 4: 'a core dump' }

/** A module of 64 MiB has fewer; each costs about 200 bytes here. */
const sectionsMax = 100_000
const symbolsMax = 500_000
const relocationsMax = 1_000_000
const nameMax = 512

export class Elf {
  readonly arch: string
  readonly sections: readonly Section[]
  private readonly view: DataView
  private readonly little: boolean
  private symbolTable: readonly Symbol[] | null = null

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length < 4 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) throw new Refuse('NOT_ELF')
    if (bytes.length < 64) throw new Refuse('TRUNCATED', 'the ELF header')
    if (bytes[4] !== 2) throw new Refuse('UNSUPPORTED', 'not 64-bit')
    if (bytes[5] !== 1 && bytes[5] !== 2) throw new Refuse('CORRUPT', 'its byte order is unknown')
    this.little = bytes[5] === 1
    const type = this.view.getUint16(16, this.little)
    if (type !== 1) throw new Refuse('NOT_RELOCATABLE', kinds[type] ?? `of type ${type}`)
    const machine = this.view.getUint16(18, this.little)
    const arch = machines[machine]
    if (arch === undefined) throw new Refuse('UNSUPPORTED', `for machine ${machine}`)
    this.arch = arch
    this.sections = this.readSections()
  }

  u32(offset: number): number { return this.view.getUint32(this.within(offset, 4, 'a word'), this.little) }

  /** Fits a double exactly: a file offset beyond 2^53 is refused as lying beyond the end. */
  u64(offset: number): number {
    const value = this.view.getBigUint64(this.within(offset, 8, 'a long word'), this.little)
    return value > 0x1f_ffff_ffff_ffffn ? Number.MAX_SAFE_INTEGER : Number(value)
  }

  private within(offset: number, size: number, what: string): number {
    if (!(offset >= 0) || offset + size > this.bytes.length) throw new Refuse('TRUNCATED', what)
    return offset
  }

  private readSections(): Section[] {
    const start = this.u64(40)
    const entry = this.view.getUint16(58, this.little)
    let count = this.view.getUint16(60, this.little)
    let names = this.view.getUint16(62, this.little)
    if (start === 0) throw new Refuse('CORRUPT', 'it has no section headers')
    if (entry !== 64) throw new Refuse('CORRUPT', `its section headers are ${entry} bytes long, not 64`)
    this.within(start, 64, 'the table of section headers')
    // More than 65,279 sections: the counts stand in the first, otherwise empty header.
    if (count === 0) count = this.u64(start + 32)
    if (names === 0xffff) names = this.u32(start + 40)
    if (count > sectionsMax) throw new Refuse('CORRUPT', `it claims ${count} sections`)
    this.within(start, count * 64, 'the table of section headers')
    if (names >= count) throw new Refuse('CORRUPT', 'its section names lie in a section that does not exist')
    const raw = Array.from({ length: count }, (_, index) => this.readHeader(start + index * 64, index))
    const table = raw[names]
    if (!table || table.type === typeNoBits) throw new Refuse('CORRUPT', 'its section names cannot be read')
    return raw.map(({ nameAt, ...section }) => ({ ...section, name: this.textIn(table, nameAt) }))
  }

  private readHeader(at: number, index: number): Omit<Section, 'name'> & { nameAt: number } {
    const section = {
      nameAt: this.u32(at), index, type: this.u32(at + 4), flags: this.u64(at + 8), offset: this.u64(at + 24), size: this.u64(at + 32), link: this.u32(at + 40), info: this.u32(at + 44), entrySize: this.u64(at + 56),
    }
    if (index > 0 && section.type !== typeNoBits && section.type !== 0) this.within(section.offset, section.size, `section ${index}`)
    return section
  }

  section(name: string): Section | null { return this.sections.find((one) => one.name === name) ?? null }

  bytesOf(section: Section): Uint8Array {
    return section.type === typeNoBits || section.type === 0 ? new Uint8Array(0) : this.bytes.subarray(section.offset, section.offset + section.size)
  }

  /** Text up to its NUL, inside a section; cut at `nameMax`. @throws when no NUL follows. */
  textIn(section: Pick<Section, 'offset' | 'size'>, at: number): string {
    if (at >= section.size) { if (at === 0) return ''; throw new Refuse('CORRUPT', 'a name lies outside its table') }
    let text = ''
    for (let i = section.offset + at; i < section.offset + section.size; i++) {
      const byte = this.bytes[i] ?? 0
      if (byte === 0) return text
      if (text.length < nameMax) text += String.fromCharCode(byte)
    }
    throw new Refuse('CORRUPT', 'a name does not end inside its table')
  }

  symbols(): readonly Symbol[] {
    this.symbolTable ??= this.readSymbols()
    return this.symbolTable
  }

  private readSymbols(): Symbol[] {
    const table = this.sections.find((one) => one.type === typeSymtab)
    if (!table) return []
    const names = this.sections[table.link]
    if (!names || names.type === typeNoBits || table.entrySize !== 24) throw new Refuse('CORRUPT', 'its symbol table cannot be read')
    const count = Math.floor(table.size / 24)
    if (count > symbolsMax) throw new Refuse('CORRUPT', `it claims ${count} symbols`)
    return Array.from({ length: count }, (_, index) => {
      const at = table.offset + index * 24
      return { name: this.textIn(names, this.u32(at)), type: (this.bytes[at + 4] ?? 0) & 15, section: this.view.getUint16(at + 6, this.little), value: this.u64(at + 8), size: this.u64(at + 16) }
    })
  }

  undefinedSymbols(): string[] { return this.symbols().filter((one) => one.section === symbolUndefined && one.name !== '').map((one) => one.name) }

  /** Relocations that apply to `section`, by offset. */
  relocations(section: Section): Relocation[] {
    const found: Relocation[] = []
    const symbols = this.symbols()
    for (const table of this.sections) {
      if (table.type !== typeRela || table.info !== section.index || table.entrySize !== 24) continue
      const count = Math.floor(table.size / 24)
      if (found.length + count > relocationsMax) throw new Refuse('CORRUPT', 'it claims too many relocations')
      for (let i = 0; i < count; i++) {
        const at = table.offset + i * 24
        const symbol = symbols[this.u32(at + (this.little ? 12 : 8))]
        if (!symbol) throw new Refuse('CORRUPT', 'a relocation names a symbol that does not exist')
        found.push({ offset: this.u64(at), symbol, addend: Number(this.view.getBigInt64(this.within(at + 16, 8, 'a relocation'), this.little)) })
      }
    }
    return found.sort((a, b) => a.offset - b.offset)
  }

  /** Where a relocation points: a place in one of the file's sections, or null for an undefined symbol. */
  placeOf(relocation: Relocation): { section: Section; offset: number } | null {
    const section = relocation.symbol.section === symbolUndefined ? undefined : this.sections[relocation.symbol.section]
    const offset = relocation.symbol.value + relocation.addend
    return section && offset >= 0 && offset < section.size ? { section, offset } : null
  }

  /** The string a relocation points to, or null. */
  stringAt(relocation: Relocation | undefined): string | null {
    const place = relocation ? this.placeOf(relocation) : null
    if (!place || place.section.type === typeNoBits) return null
    try { return this.textIn(place.section, place.offset) } catch { return null }
  }
}
