// The reader against files that were damaged or made to hurt. UPTIDE_MODULE_MUTATIONS=10000000 for a long run; then one in
// a hundred accepted files is also put before readelf and modinfo (Debian's binutils and kmod), which must agree. A plain
// run has what they said of the fixtures, in read.spec.ts.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readModuleFile } from './read.js'
import { ascii, buildElf, type SectionSpec, Words } from './testing/build-elf.js'
import { buildModule, handWritten, klpBuilt, kpatchBuilt, modinfoBytes, plainModinfo, signed } from './testing/build-module.js'
import type { ModuleFacts, ModuleVerdict } from './verdict.js'

const wanted = Number(process.env['UPTIDE_MODULE_MUTATIONS'] ?? 0)
const mutations = wanted || 20_000
/** No file may hold the reader longer. */
const slowestMs = 2_000

const fixture = (name: string): Uint8Array => readFileSync(new URL(`fixtures/${name}.ko`, import.meta.url))
const corpus: readonly Uint8Array[] = [
  ...['uptide_v1-6.1', 'uptide_v2-6.12', 'uptide_shadow-6.1', 'uptide_shadow-6.12', 'bad_notag-6.12'].map(fixture),
  handWritten({ objects: [{ name: null, functions: ['a', 'b'] }, { name: 'ext4', functions: ['c'], callbacks: [16] }], states: true, replace: 1 }),
  handWritten({ objects: [{ name: 'kvm', functions: ['x'] }] }, { machine: 22, big: true }),
  kpatchBuilt([['vmlinux', 'a'], ['ext4', 'b']]), klpBuilt([{ name: 'kvm', functions: ['a', 'b'] }, { name: null, functions: ['c'] }]),
  signed(fixture('uptide_v1-6.12')),
]

/** Reads, and holds the reader to what it promises of any file. */
function read(bytes: Uint8Array): ModuleVerdict {
  const before = performance.now()
  const verdict = readModuleFile(bytes)
  expect(performance.now() - before).toBeLessThan(slowestMs)
  if (!verdict.ok) {
    expect(verdict.says, 'a fault of the reader itself').not.toContain('has no name')
    expect(verdict.says).toMatch(/^[A-Z][^\u0000-\u001f\u007f]*\.$/)
    if (verdict.at !== undefined) expect(verdict.at).toBeGreaterThanOrEqual(0)
  } else expect(JSON.stringify(verdict.facts)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
  return verdict
}

const number = (bytes: Uint8Array, at: number, size: number, value: bigint): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  for (let i = 0; i < size; i++) copy[at + i] = Number((value >> BigInt(8 * i)) & 0xffn)
  return copy
}
const valuesFor = (size: number, length: number): readonly bigint[] => {
  const max = (1n << BigInt(8 * size)) - 1n
  return [...new Set([0n, 1n, max, max - 1n, max >> 1n, BigInt(length - 1) & max, BigInt(length) & max, BigInt(length + 1) & max])]
}

const headerFields: readonly (readonly [name: string, at: number, size: number, ignored: boolean])[] = [
  ['EI_MAG', 0, 4, false], ['EI_CLASS', 4, 1, false], ['EI_DATA', 5, 1, false], ['EI_VERSION', 6, 1, true], ['EI_OSABI', 7, 1, true], ['e_type', 16, 2, false], ['e_machine', 18, 2, false], ['e_version', 20, 4, true],
  ['e_entry', 24, 8, true], ['e_phoff', 32, 8, true], ['e_shoff', 40, 8, false], ['e_flags', 48, 4, true], ['e_ehsize', 52, 2, true], ['e_phentsize', 54, 2, true], ['e_phnum', 56, 2, true], ['e_shentsize', 58, 2, false],
  ['e_shnum', 60, 2, false], ['e_shstrndx', 62, 2, false],
]
const sectionFields: readonly (readonly [name: string, at: number, size: number])[] = [
  ['sh_name', 0, 4], ['sh_type', 4, 4], ['sh_flags', 8, 8], ['sh_addr', 16, 8], ['sh_offset', 24, 8], ['sh_size', 32, 8], ['sh_link', 40, 4], ['sh_info', 44, 4], ['sh_addralign', 48, 8], ['sh_entsize', 56, 8],
]

const identity = ({ name, kernelRelease, vermagic, arch, srcversion }: ModuleFacts): unknown => ({ name, kernelRelease, vermagic, arch, srcversion })

describe('a module with one number changed', () => {
  const whole = fixture('uptide_shadow-6.12')
  const original = readModuleFile(whole)
  if (!original.ok) throw new Error(original.says)

  it.each(headerFields)('in the header, %s: is refused, or the number meant nothing', (_name, at, size, ignored) => {
    for (const value of valuesFor(size, whole.length)) {
      const changed = number(whole, at, size, value)
      const verdict = read(changed)
      if (ignored || Buffer.compare(changed, whole) === 0) expect(verdict).toEqual(original)
      // e_type 1, EI_DATA 1 and the like are what stands there; any other value must not pass.
      else expect(verdict.ok, `value ${value}`).toBe(false)
    }
  })

  it.each(sectionFields)('in any section\'s header, %s: is refused, or says no other name, kernel or functions', (_name, at, size) => {
    const view = new DataView(whole.buffer, whole.byteOffset)
    const start = Number(view.getBigUint64(40, true)); const count = view.getUint16(60, true)
    let accepted = 0
    for (let index = 0; index < count; index++) {
      for (const value of valuesFor(size, whole.length)) {
        const verdict = read(number(whole, start + index * 64 + at, size, value))
        if (!verdict.ok) continue
        accepted += 1
        expect(identity(verdict.facts), `section ${index}, value ${value}`).toEqual(identity(original.facts))
        // What cannot be followed any more is said to be unknown, and then asks for a look.
        if (verdict.facts.objectsSource === 'unknown') expect(verdict.facts).toMatchObject({ objects: [], rollbackRisk: { level: 'needs-review' } })
        else expect(verdict.facts.objects, `section ${index}, value ${value}`).toEqual(original.facts.objects)
      }
    }
    // Sections that nobody looks at are most.
    expect(accepted).toBeGreaterThan(count)
  })
})

/** A change as damage or malice makes it; places beyond the end wrap around. */
type Change = readonly [kind: 'byte' | 'half' | 'word' | 'long' | 'cut' | 'copy' | 'zero', place: number, value: bigint]
const change: fc.Arbitrary<Change> = fc.tuple(
  fc.constantFrom('byte', 'half', 'word', 'long', 'cut', 'copy', 'zero'), fc.nat(),
  fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.constantFrom(0n, 1n, 24n, 64n, 0xffffn, 0xff20n, 0x7fff_ffffn, 0xffff_ffffn, (1n << 63n) - 1n, (1n << 64n) - 1n)),
)
const sizes: Readonly<Record<string, number>> = { byte: 1, half: 2, word: 4, long: 8 }

function apply(bytes: Uint8Array, [kind, place, value]: Change): Uint8Array {
  if (bytes.length < 16) return bytes
  const at = place % (bytes.length - 8)
  const size = sizes[kind]
  if (size !== undefined) return number(bytes, at, size, value)
  if (kind === 'cut') return bytes.subarray(0, at)
  const copy = Uint8Array.from(bytes)
  const length = Number(value % 200n)
  if (kind === 'zero') copy.fill(0, at, at + length); else copy.copyWithin(at, Number(value % BigInt(bytes.length)), Number(value % BigInt(bytes.length)) + length)
  return copy
}

/** Tables at the file's end decide most: half of the changes go there. */
const aimed = (bytes: Uint8Array, one: Change, towardsEnd: boolean): Change => towardsEnd ? [one[0], Math.max(0, bytes.length - 1 - (one[1] % 4096)), one[2]] : one

/** What Debian's tools print about the same bytes. A tool that is not there is a failure, not an excuse. */
function agreesWithTools(bytes: Uint8Array, facts: ModuleFacts): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'uptide-ko-'))
  try {
    const file = path.join(folder, 'm.ko')
    writeFileSync(file, bytes)
    const says = (tool: string, ...words: string[]): string => { const ran = spawnSync(tool, [...words, file], { encoding: 'utf8' }); if (ran.error) throw ran.error; return ran.stdout }
    expect(says('readelf', '-hW')).toMatch(/Class: +ELF64[^]*Type: +REL/)
    // readelf reads every note and trusts their alignment; hosts show the bytes of this one section as they stand.
    const buildId = /in: \.note\.gnu\.build-id\n[^\n]*\n *GNU +0x[^\n]*Build ID: (\w+)/.exec(says('readelf', '-nW'))?.[1]
    if (buildId !== undefined) expect(facts.moduleBuildId, 'build id').toBe(buildId)
    for (const key of ['vermagic', 'srcversion', 'license'] as const) {
      // The tools print bytes as they are.
      const line = says('modinfo', '-F', key).split('\n')[0] ?? ''
      if (/^[ -~]*$/.test(line)) expect(line.trim(), key).toBe((facts[key] ?? '').trim())
    }
  } finally { rmSync(folder, { recursive: true, force: true }) }
}

describe('a damaged module', () => {
  it('is accepted or refused by name, quickly and without a fault of the reader, however it was damaged', () => {
    // By number: a failure prints what was changed, not ten thousand bytes.
    const changed = fc.tuple(fc.nat({ max: corpus.length - 1 }), fc.array(fc.tuple(change, fc.boolean()), { minLength: 1, maxLength: 6 }))
    const codes = new Map<string, number>()
    fc.assert(fc.property(changed, ([index, changes]) => {
      const bytes = changes.reduce((all, [one, end]) => apply(all, aimed(all, one, end)), corpus[index] ?? new Uint8Array(0))
      const verdict = read(bytes)
      const code = verdict.ok ? 'accepted' : verdict.code
      const nth = (codes.get(code) ?? 0) + 1
      codes.set(code, nth)
      if (verdict.ok && wanted && nth % 100 === 0) agreesWithTools(bytes, verdict.facts)
    }), { numRuns: mutations, verbose: 1 })
    // Were all refused alike, the changes would reach nothing.
    for (const code of ['accepted', 'CORRUPT', 'TRUNCATED', 'NOT_A_LIVEPATCH', 'BAD_SIGNATURE_TRAILER']) expect(codes.get(code) ?? 0, code).toBeGreaterThan(0)
  }, wanted ? 86_400_000 : 60_000)
})

const refusal = (bytes: Uint8Array): string => { const verdict = read(bytes); return verdict.ok ? `accepted with ${verdict.facts.objects.length} objects` : verdict.says }
const modinfoSection: SectionSpec = { name: '.modinfo', data: modinfoBytes(plainModinfo) }

describe('a file made to hurt', () => {
  it('with tables of names that do not end, or that are longer than any name', () => {
    expect(refusal(buildElf({ sections: [modinfoSection], symbols: [{ name: 'x'.repeat(2_000), section: '' }] }))).toContain('longer than 1024')
    const file = buildModule()
    const end = file.length - 64 * 5
    const lastNames = Number(new DataView(file.buffer).getBigUint64(end + 64 * 4 + 24, true))
    expect(refusal(Uint8Array.from(file).fill(0x41, lastNames, end))).toContain('do not end')
  })

  it('with as many sections as fit, or one more than the kernel loads', () => {
    const many = (count: number): Uint8Array => buildElf({ sections: [modinfoSection, ...Array.from({ length: count }, (): SectionSpec => ({ name: '.data', type: 1 }))] })
    expect(refusal(many(65_200))).toBe('accepted with 0 objects')
    expect(refusal(many(65_530))).toContain('more than the kernel can load')
  })

  it('with sections that lie on each other, and links that run in circles', () => {
    const file = buildModule({ sections: [{ name: '.a', data: new Uint8Array(8) }, { name: '.b', data: new Uint8Array(8) }] })
    const table = Number(new DataView(file.buffer).getBigUint64(40, true))
    const count = new DataView(file.buffer).getUint16(60, true)
    let circle = Uint8Array.from(file)
    for (let index = 1; index < count; index++) circle = Uint8Array.from(number(number(circle, table + index * 64 + 40, 4, BigInt((index + 1) % count)), table + index * 64 + 44, 4, BigInt(index)))
    expect(refusal(circle)).toMatch(/cannot be read|does not exist|accepted|damaged/)
    let stacked = Uint8Array.from(file)
    for (let index = 2; index < 4; index++) stacked = Uint8Array.from(number(number(stacked, table + index * 64 + 24, 8, 0n), table + index * 64 + 32, 8, BigInt(file.length)))
    expect(refusal(stacked)).toBe('accepted with 0 objects')
  })

  it('with a section that claims exabytes and takes no room', () => {
    for (const name of ['.kpatch.funcs', '.init.klp_objects', '.init.klp_funcs', '.data', '.note.gnu.build-id', '.gnu.linkonce.this_module']) {
      for (const type of [0, 8]) expect(refusal(buildModule({ sections: [{ name, type, size: 56 * 2 ** 40 }] })), name).toBe('accepted with 0 objects')
    }
    expect(refusal(buildElf({ sections: [{ ...modinfoSection, type: 8, size: 2 ** 50 }] }))).toContain('livepatch=Y')
  })

  it('with 60 MB of symbols whose names are all the same long one', () => {
    const symbols = new Words(24 * 399_999, false)
    for (let at = 0; at < symbols.bytes.length; at += 24) symbols.u32(at, 1)
    expect(refusal(buildElf({ sections: [modinfoSection, { name: '.symtab', type: 2, data: symbols.bytes, link: 3, entrySize: 24 }, { name: '.names', type: 3, data: ascii(`\0${'x'.repeat(1_000)}\0`) }] }))).toContain('more than one symbol table')
    expect(refusal(ownSymbols(symbols.bytes, ascii(`\0${'x'.repeat(1_000)}\0`)))).toContain('million characters together')
    expect(refusal(ownSymbols(new Uint8Array(24 * 2_500_000), ascii('\0')))).toContain('claims 2500000 symbols')
  })

  it('with a thousand tables of relocations that are one and the same megabyte', () => {
    const relocations = new Uint8Array(24 * 40_000)
    const tables = Array.from({ length: 1_000 }, (): SectionSpec => ({ name: '.rela.data', type: 4, data: relocations.subarray(0, 0), info: 2, entrySize: 24 }))
    const file = buildElf({ sections: [modinfoSection, { name: '.data', data: new Uint8Array(4096) }, { name: '.rela.first', type: 4, data: relocations, info: 2, entrySize: 24 }, ...tables], symbols: [{ name: 'a', section: '.data' }] })
    const view = new DataView(file.buffer)
    const table = Number(view.getBigUint64(40, true))
    for (let index = 4; index < 1_004; index++) { view.setBigUint64(table + 64 * index + 24, view.getBigUint64(table + 64 * 3 + 24, true), true); view.setBigUint64(table + 64 * index + 32, BigInt(relocations.length), true) }
    expect(refusal(file)).toContain('relocations')
  })

  it('with thousands of patches that all share one table of thousands of functions', () => {
    const patches = 3_000; const functions = 3_000
    const at = patches * 32; const funcsAt = at + 96
    const own: { section: string; offset: number; symbol: string; addend?: number }[] = []
    for (let nth = 0; nth < patches; nth++) own.push({ section: '.data', offset: 32 * nth, symbol: '__this_module' }, { section: '.data', offset: 32 * nth + 8, symbol: 'd', addend: at })
    own.push({ section: '.data', offset: at + 8, symbol: 'd', addend: funcsAt })
    for (let nth = 0; nth < functions; nth++) own.push({ section: '.data', offset: funcsAt + 16 * nth, symbol: 's', addend: 1 })
    const size = funcsAt + 16 * (functions + 1)
    const verdict = refusal(buildElf({
      sections: [modinfoSection, { name: '.data', data: new Uint8Array(size) }, { name: '.strings', data: ascii('\0a\0') }, { name: '.mod', data: new Uint8Array(8) }], relocations: own,
      symbols: [{ name: '__this_module', section: '.mod', type: 1, size: 8 }, { name: 'd', section: '.data', type: 3 }, { name: 's', section: '.strings', type: 3 }, { name: 'o', section: '.data', type: 1, value: at, size: 96 }, { name: 'f', section: '.data', type: 1, value: funcsAt, size: 16 * (functions + 1) }],
    }))
    expect(verdict).toContain('overlap')
  })

  it('with 64 MiB of nothing behind a header', () => {
    const large = new Uint8Array(64 * 1024 * 1024)
    large.set(buildModule().subarray(0, 64))
    expect(refusal(large)).toMatch(/^The file is damaged|^The file is cut off|no kernel module/)
    expect(refusal(buildModule({ sections: [{ name: '.data', data: new Uint8Array(60 * 1024 * 1024).fill(0x41) }] }))).toBe('accepted with 0 objects')
  })
})

/** A module with a symbol table of one's own, in place of the builder's. */
function ownSymbols(symbols: Uint8Array, names: Uint8Array): Uint8Array {
  const file = buildElf({ sections: [modinfoSection, { name: '.own', type: 2, data: symbols, link: 3, entrySize: 24 }, { name: '.names', type: 3, data: names }] })
  const table = Number(new DataView(file.buffer).getBigUint64(40, true))
  // The builder's .symtab is the fourth section; as plain data it is none.
  return number(file, table + 64 * 4 + 4, 4, 1n)
}
