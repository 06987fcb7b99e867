import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readModuleFile } from './read.js'
import { ascii, buildElf, Words } from './testing/build-elf.js'
import { buildModule, handWritten, klpBuilt, kpatchBuilt, plainModinfo, signed, thisModule } from './testing/build-module.js'
import type { ModuleFacts, ModuleFlavour } from './verdict.js'

const fixture = (name: string): Uint8Array => readFileSync(new URL(`fixtures/${name}.ko`, import.meta.url))

function factsOf(bytes: Uint8Array, accepted?: readonly ModuleFlavour[]): ModuleFacts {
  const read = readModuleFile(bytes, accepted)
  if (!read.ok) throw new Error(`${read.code}: ${read.says}`)
  return read.facts
}
const refusalOf = (bytes: Uint8Array, accepted?: readonly ModuleFlavour[]): string => { const read = readModuleFile(bytes, accepted); return read.ok ? 'accepted' : read.code }

/** What modinfo, readelf and nm of Debian 12 printed about the fixtures, word for word. */
function toolsSaid(name: string): { readonly info: ReadonlyMap<string, string>; readonly buildId: string; readonly used: readonly string[] } {
  const said = readFileSync(new URL('fixtures/tools-said.txt', import.meta.url), 'utf8')
  const part = (tool: string): string => said.split(`=== ${tool} ${name}.ko\n`)[1]?.split('\n=== ')[0] ?? ''
  const info = new Map(part('modinfo').split('\n').map((line) => { const cut = line.indexOf(':'); return [line.slice(0, cut), line.slice(cut + 1).trim()] as const }))
  return { info, buildId: /Build ID: (\w+)/.exec(part('readelf -hn'))?.[1] ?? '', used: part('nm -u').split('\n').map((line) => line.trim().replace(/^U /, '')) }
}

const versionObjects = [{ name: 'vmlinux', functions: ['version_proc_show', 'execdomains_proc_show'] }, { name: 'lab_target', functions: ['lab_wait'] }]

describe('a module that gcc and the kernel\'s build made', () => {
  // As their sources in deploy/lab/modules say.
  it.each([
    ['uptide_v1-6.1', versionObjects, 'no', []], ['uptide_v1-6.12', versionObjects, 'no', []],
    ['uptide_v2-6.1', versionObjects, 'yes', []], ['uptide_v2-6.12', versionObjects, 'yes', []],
    ['uptide_shadow-6.1', [{ name: 'vmlinux', functions: ['version_proc_show'] }], 'no', ['it has callbacks', 'it uses shadow variables']],
    ['uptide_shadow-6.12', [{ name: 'vmlinux', functions: ['version_proc_show'] }], 'no', ['it has callbacks', 'it uses shadow variables']],
  ] as const)('%s is read as its source says', (name, objects, replace, reasons) => {
    const facts = factsOf(fixture(name))
    expect(facts).toMatchObject({ flavour: 'klp', objects, objectsSource: 'klp_object', replace, signature: null, references: [], klpGitRevision: null, intree: false, parameters: [] })
    expect(facts.rollbackRisk).toEqual({ level: reasons.length === 0 ? 'probably' : 'needs-review', reasons })
  })

  it.each(['uptide_v1-6.1', 'uptide_v1-6.12', 'uptide_v2-6.1', 'uptide_v2-6.12', 'uptide_shadow-6.1', 'uptide_shadow-6.12'])('%s is read as modinfo, readelf and nm read it', (name) => {
    const facts = factsOf(fixture(name))
    const { info, buildId, used } = toolsSaid(name)
    for (const key of ['name', 'vermagic', 'version', 'description', 'license', 'srcversion'] as const) expect(facts[key], key).toBe(info.get(key))
    expect(facts.depends.join(',')).toBe(info.get('depends'))
    expect(facts.retpoline).toBe(info.get('retpoline') === 'Y')
    expect(facts.kernelRelease).toBe(info.get('vermagic')?.split(' ')[0])
    expect(facts.moduleBuildId).toBe(buildId)
    expect([facts.arch, facts.endianness]).toEqual(['x86_64', 'little'])
    expect(facts.rollbackRisk.reasons.includes('it uses shadow variables')).toBe(used.some((symbol) => symbol.startsWith('klp_shadow_')))
  })

  it('is refused by name when it calls the kernel\'s livepatch without being marked as one', () => {
    for (const name of ['bad_notag-6.1', 'bad_notag-6.12']) expect(refusalOf(fixture(name))).toBe('NOT_A_LIVEPATCH')
  })

  it('is read the same with a signature behind it, and the signature is told', () => {
    const plain = factsOf(fixture('uptide_v1-6.12'))
    expect(factsOf(signed(fixture('uptide_v1-6.12')))).toEqual({ ...plain, signature: { bytes: 6, idType: 2 } })
  })

  it('is refused when a byte is missing at its end, at any of the ends it could be cut to', () => {
    const whole = fixture('uptide_v1-6.12')
    for (let length = 0; length < whole.length; length += 7) expect(refusalOf(whole.subarray(0, length)), `${length} bytes`).toMatch(/^(?:EMPTY|NOT_ELF|TRUNCATED)$/)
  })
})

describe('a hand-written livepatch', () => {
  const objects = [
    { name: null, functions: ['a', 'b.isra.0', 'c'] }, { name: 'ext4', functions: ['ext4_open'] }, { name: 'nf_tables', functions: ['x', 'y'], callbacks: [] },
  ]
  const said = [{ name: 'vmlinux', functions: ['a', 'b.isra.0', 'c'] }, { name: 'ext4', functions: ['ext4_open'] }, { name: 'nf_tables', functions: ['x', 'y'] }]

  it.each([[144, 152], [136, 144], [112, 128], [256, 304], [88, 96], [520, 480]])('is read whatever the kernel\'s structs measure: %d and %d bytes', (objectBytes, funcBytes) => {
    expect(factsOf(handWritten({ objects, objectBytes, funcBytes }))).toMatchObject({ objects: said, objectsSource: 'klp_object', replace: 'no' })
  })

  it.each([['s390x', 22, true], ['ppc64', 21, true], ['ppc64le', 21, false], ['aarch64', 183, false], ['aarch64_be', 183, true], ['riscv64', 243, false], ['loongarch64', 258, false]] as const)('is read for %s', (arch, machine, big) => {
    expect(factsOf(handWritten({ objects, replace: 1 }, { machine, big }))).toMatchObject({ arch, endianness: big ? 'big' : 'little', objects: said, replace: 'yes' })
  })

  it('says whether it replaces, where the struct\'s layout is known and the byte is a boolean', () => {
    const replaceOf = (release: string, replace: number, more: readonly string[] = []): string =>
      factsOf(handWritten({ objects, replace }, { modinfo: [...plainModinfo.slice(0, 4), `vermagic=${release} SMP`, ...more] })).replace
    expect(replaceOf('6.12.1', 1)).toBe('yes')
    expect(replaceOf('5.5.0-rc1', 0)).toBe('no')
    expect(replaceOf('5.4.0-200-generic', 1)).toBe('unknown')
    expect(replaceOf('4.18.0-553.el8.x86_64', 0)).toBe('unknown')
    expect(replaceOf('6.12.1', 2)).toBe('unknown')
    expect(replaceOf('6.12.1', 1, ['parmtype=replace:bool', 'parm=replace:replace all previously loaded patch modules'])).toBe('unknown')
  })

  it.each([16, 24, 32, 40])('tells a callback at %d of klp_object', (offset) => {
    expect(factsOf(handWritten({ objects: [{ name: null, functions: ['a'], callbacks: [offset] }] })).rollbackRisk).toEqual({ level: 'needs-review', reasons: ['it has callbacks'] })
  })

  it('tells states, and every call that makes or reads lasting state', () => {
    const reasonsOf = (name: string): readonly string[] => factsOf(handWritten({ objects }, { symbols: [{ name, section: '' }] })).rollbackRisk.reasons
    expect(factsOf(handWritten({ objects, states: true })).rollbackRisk.reasons).toEqual(['it changes system state (klp_state)'])
    expect(reasonsOf('klp_get_prev_state')).toEqual(['it changes system state (klp_state)'])
    expect(reasonsOf('klp_shadow_alloc')).toEqual(['it uses shadow variables'])
    expect(reasonsOf('kpatch_shadow_get')).toEqual(['it uses shadow variables'])
    expect(reasonsOf('printk')).toEqual([])
  })

  it('is not claimed to be safe when it cannot be followed', () => {
    const facts = factsOf(buildModule())
    expect(facts).toMatchObject({ objects: [], objectsSource: 'unknown', replace: 'unknown' })
    expect(facts.rollbackRisk).toEqual({ level: 'needs-review', reasons: ['what it patches could not be read from the file, so callbacks cannot be ruled out'] })
    for (const name of ['no such name', 'a\u001b[31m', '']) expect(factsOf(handWritten({ objects: [{ name: null, functions: [name] }] }))).toMatchObject({ objects: [], objectsSource: 'unknown' })
    expect(factsOf(handWritten({ objects: [{ name: '../x', functions: ['a'] }] }))).toMatchObject({ objects: [], objectsSource: 'unknown' })
  })

  it('tells what it refers to elsewhere, and does not take that for what it patches', () => {
    const facts = factsOf(handWritten({ objects: [{ name: null, functions: ['a'] }] }, {
      sections: [{ name: '.klp.rela.ext4..text', type: 4, entrySize: 24 }, { name: '.klp.rela.vmlinux..text.a', type: 4, entrySize: 24 }],
      symbols: [{ name: '.klp.sym.vmlinux.printk,0', section: 0xff20 }, { name: '.klp.sym.xfs.xfs_log.part.0,2', section: 0xff20 }, { name: '.klp.sym.nonsense', section: 0xff20 }],
    }))
    expect(facts.objects).toEqual([{ name: 'vmlinux', functions: ['a'] }])
    expect(facts.references).toEqual([{ object: 'ext4', symbols: [] }, { object: 'vmlinux', symbols: ['printk'] }, { object: 'xfs', symbols: ['xfs_log.part.0'] }])
  })
})

describe('a livepatch that a tool built', () => {
  const pairs = [['vmlinux', 'meminfo_proc_show'], ['ext4', 'ext4_open'], ['vmlinux', 'do_exit']] as const
  const said = [{ name: 'vmlinux', functions: ['meminfo_proc_show', 'do_exit'] }, { name: 'ext4', functions: ['ext4_open'] }]

  it.each([56, 72])('is read from .kpatch.funcs with entries of %d bytes', (stride) => {
    expect(factsOf(kpatchBuilt(pairs, { stride }))).toMatchObject({ flavour: 'klp', objects: said, objectsSource: 'kpatch.funcs', replace: 'unknown', rollbackRisk: { level: 'probably' } })
  })

  it('tells kpatch\'s callbacks and forced functions, but not the padding that is always there', () => {
    const reasonsOf = (name: string, bytes: number): readonly string[] => factsOf(kpatchBuilt(pairs, { sections: [{ name, data: new Uint8Array(bytes) }] })).rollbackRisk.reasons
    for (const when of ['pre_patch', 'post_patch', 'pre_unpatch', 'post_unpatch']) {
      expect(reasonsOf(`.kpatch.callbacks.${when}`, 8)).toEqual([])
      expect(reasonsOf(`.kpatch.callbacks.${when}`, 24)).toEqual(['it has callbacks'])
    }
    expect(reasonsOf('.kpatch.force', 16)).toEqual(['it skips the safety check for some functions'])
  })

  it('is refused when kpatch\'s table is there and makes no sense', () => {
    expect(refusalOf(kpatchBuilt(pairs, { stride: 64 }))).toBe('CORRUPT')
    expect(refusalOf(kpatchBuilt([['vmlinux', 'not a name']]))).toBe('CORRUPT')
    expect(refusalOf(kpatchBuilt([['../../etc', 'a']]))).toBe('CORRUPT')
  })

  it('for kpatch\'s own core is told apart, and refused by who cannot drive it', () => {
    const core = kpatchBuilt(pairs, { modinfo: ['name=kpatch_a', 'depends=kpatch', 'vermagic=3.10.0-1160.el7.x86_64 SMP mod_unload modversions ', 'parm=replace:replace all previously loaded patch modules', 'parmtype=replace:bool'] })
    expect(refusalOf(core)).toBe('OTHER_FLAVOUR')
    expect(factsOf(core, ['klp', 'kpatch-core'])).toMatchObject({ flavour: 'kpatch-core', objects: said, replace: 'unknown', parameters: [{ name: 'replace', type: 'bool', description: 'replace all previously loaded patch modules' }] })
    expect(refusalOf(kpatchBuilt(pairs), ['kpatch-core'])).toBe('OTHER_FLAVOUR')
  })

  it('is read from the tables of klp-build', () => {
    const objects = [{ name: null, functions: ['a', 'b'] }, { name: 'kvm', functions: ['kvm_x'] }]
    expect(factsOf(klpBuilt(objects))).toMatchObject({ objects: [{ name: 'vmlinux', functions: ['a', 'b'] }, { name: 'kvm', functions: ['kvm_x'] }], objectsSource: 'klp-build', replace: 'unknown', rollbackRisk: { level: 'probably' } })
    expect(factsOf(klpBuilt([{ name: 'kvm', functions: ['kvm_x'], callbacks: [40] }])).rollbackRisk.reasons).toEqual(['it has callbacks'])
    expect(factsOf(klpBuilt(objects, { big: true, machine: 22 })).objects).toHaveLength(2)
  })
})

describe('a module\'s build id', () => {
  const note = (owner: string, type: number, claims = 4, sectionType = 7): string | null => {
    const data = Uint8Array.from([...new Words(12, false).u32(0, 4).u32(4, claims).u32(8, type).bytes, ...ascii(owner), 0xde, 0xad, 0xbe, 0x0f])
    return factsOf(buildModule({ sections: [{ name: '.note.gnu.build-id', type: sectionType, data }] })).moduleBuildId
  }

  it('is taken from a note of GNU\'s that has room for it, and from nothing else', () => {
    expect(note('GNU\0', 3)).toBe('deadbe0f')
    expect([note('GNX\0', 3), note('GNU\0', 1), note('GNU\0', 3, 0), note('GNU\0', 3, 5), note('GNU\0', 3, 0xffff_ffff), note('GNU\0', 3, 4, 1)]).toEqual([null, null, null, null, null, null])
    expect(factsOf(buildModule()).moduleBuildId).toBeNull()
  })
})

describe('a file that is no livepatch we take', () => {
  const elf = buildModule()
  it.each<readonly [string, string, Uint8Array]>([
    ['nothing', 'EMPTY', new Uint8Array(0)], ['text', 'NOT_ELF', ascii('#!/bin/sh\n')], ['a few bytes of ELF', 'TRUNCATED', elf.subarray(0, 40)],
    ['gzip', 'COMPRESSED', Uint8Array.of(0x1f, 0x8b, 8, 0)], ['xz', 'COMPRESSED', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)], ['zstd', 'COMPRESSED', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)],
    ['a shared library', 'NOT_RELOCATABLE', buildModule({ type: 3 })], ['a program', 'NOT_RELOCATABLE', buildModule({ type: 2 })], ['a core dump', 'NOT_RELOCATABLE', buildModule({ type: 4 })],
    ['a 32-bit module', 'UNSUPPORTED', elf.with(4, 1)], ['a module for a SPARC', 'UNSUPPORTED', buildModule({ machine: 43, big: true })], ['x86-64 with the other byte order', 'UNSUPPORTED', buildModule({ big: true })],
    ['an object file', 'NO_MODINFO', buildElf({ sections: [{ name: '.text', data: new Uint8Array(16) }] })],
    ['an ordinary module', 'NOT_A_LIVEPATCH', buildModule({ modinfo: plainModinfo.slice(1) })], ['livepatch=N', 'NOT_A_LIVEPATCH', buildModule({ modinfo: ['livepatch=N', ...plainModinfo.slice(1)] })],
    ['a livepatch without vermagic', 'NO_VERMAGIC', buildModule({ modinfo: plainModinfo.slice(0, 4) })], ['vermagic of control characters', 'NO_VERMAGIC', buildModule({ modinfo: [...plainModinfo.slice(0, 4), 'vermagic=\u0001\u0002 SMP'] })],
    ['two vermagics', 'AMBIGUOUS', buildModule({ modinfo: [...plainModinfo, 'vermagic=6.1.0 SMP'] })], ['two names', 'AMBIGUOUS', buildModule({ modinfo: [...plainModinfo, 'name=other'] })],
    ['a struct module of another name', 'AMBIGUOUS', buildModule({ sections: [thisModule('rootkit')] })], ['a name that is a path', 'CORRUPT', buildModule({ modinfo: [...plainModinfo.slice(0, 3), 'name=../../x', plainModinfo[4] ?? ''] })],
    ['two .modinfo', 'CORRUPT', buildModule({ sections: [{ name: '.modinfo', data: ascii('livepatch=Y\0') }] })], ['.modinfo without an end', 'CORRUPT', buildElf({ sections: [{ name: '.modinfo', data: ascii('livepatch=Y\0vermagic=6.1') }] })],
    ['a signature longer than the file', 'BAD_SIGNATURE_TRAILER', signed(elf, { claims: 0xffff_ffff })], ['a signature of no bytes', 'BAD_SIGNATURE_TRAILER', signed(elf, { claims: 0 })],
    ['a signature that is no PKCS#7', 'BAD_SIGNATURE_TRAILER', signed(elf, { signature: Uint8Array.of(1, 2, 3) })], ['a signature with an algorithm of its own', 'BAD_SIGNATURE_TRAILER', signed(elf, { algo: 1 })],
    ['the mark of a signature alone', 'BAD_SIGNATURE_TRAILER', ascii('~Module signature appended~\n')],
  ])('is refused by its own name: %s', (_name, code, bytes) => {
    const read = readModuleFile(bytes)
    expect(read).toMatchObject({ ok: false, code })
    // One or two whole sentences, with everything filled in and nothing that steers a terminal.
    if (!read.ok) expect(read.says).toMatch(/^[A-Z][^\u0000-\u001f]+\.$/)
    if (!read.ok) expect(read.says).not.toContain('WHAT')
  })

  it('is refused when it is too large, at once', () => {
    expect(refusalOf(new Uint8Array(64 * 1024 * 1024 + 1))).toBe('TOO_LARGE')
  })
})

describe('what .modinfo says', () => {
  const said = (entries: readonly string[]): ModuleFacts => factsOf(buildModule({ modinfo: [...plainModinfo, ...entries] }))
  const utf8 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

  it('is text of any language, and inert', () => {
    expect(said([utf8('description=größer, 日本, 🐧')]).description).toBe('größer, 日本, 🐧')
    expect(said(['description=\u001b[31mred\u001b]0;title\u0007 \u009b1m\u0008x']).description).toBe('red \ufffd1mx')
    expect(said([utf8('description=a\u202eb\u200bc')]).description).toBe('abc')
    expect(said(['description=\xff\xfe\xc0\xaf\xed\xa0\x80.']).description).toBe('\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd.')
    expect(said([`description=${'x'.repeat(9_000)}`]).description).toHaveLength(1024)
  })

  it('may say a thing twice when it is the same thing', () => {
    expect(said([plainModinfo[4] ?? '']).kernelRelease).toBe('6.12.1-test')
  })

  it('names parameters, dependencies and SUSE\'s revision', () => {
    expect(said(['parm=hold:0 readers pass: 1 they wait', 'parmtype=hold:int', 'parmtype=bare:bool', 'klpgitrev=abc123', 'intree=Y', 'retpoline=Y'])).toMatchObject({
      parameters: [{ name: 'hold', type: 'int', description: '0 readers pass: 1 they wait' }, { name: 'bare', type: 'bool', description: null }], klpGitRevision: 'abc123', intree: true, retpoline: true,
    })
    expect(factsOf(buildModule({ modinfo: ['depends=ext4,jbd2', ...plainModinfo.filter((entry) => entry !== 'depends=')] })).depends).toEqual(['ext4', 'jbd2'])
  })

  it('is not read without end: 100,000 keys are refused', () => {
    const keys = Array.from({ length: 100_000 }, (_, n) => `k${n}=v`)
    expect(refusalOf(buildModule({ modinfo: [...keys, ...plainModinfo] }))).toBe('CORRUPT')
    expect(refusalOf(buildModule({ modinfo: [...plainModinfo, `a=${'x'.repeat(1_100_000)}`] }))).toBe('CORRUPT')
  })
})
