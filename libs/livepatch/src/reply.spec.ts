import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readBlockers, readCommand, readHealth, readNudge, readScan, readWatch, readWatchLine, readWrite } from './answers.js'
import { readFacts, readHello, readModule, readPatches } from './facts.js'
import { readKlog } from './klog.js'
import { decodeValue, encodeValue, fieldsOf, linesMax, reading } from './reply.js'

const readers: Readonly<Record<string, (lines: readonly string[]) => { ok: boolean }>> = {
  readHello, readFacts, readPatches, readModule: (lines) => readModule(lines, 'm'), readKlog, readCommand, readWrite, readNudge, readScan,
  readBlockers, readWatch, readWatchLine: (lines) => readWatchLine(lines[0] ?? ''), readHealth,
}
const of = (line: string) => reading(() => fieldsOf(line))
const bootId = '01234567-89ab-cdef-0123-456789abcdef'

describe('a data line', () => {
  it('is a word and values', () => {
    const read = of('patch name=uptide_v1 enabled=1 text=a%20b%25c')
    expect(read.ok && [read.value.tag, ...read.value.values]).toEqual(['patch', ['name', 'uptide_v1'], ['enabled', '1'], ['text', 'a b%c']])
  })

  it.each([
    ['a key twice', 'patch name=a name=b'],
    ['no key', 'patch =a'],
    ['a key of another shape', 'patch Name=a'],
    ['a word without a value in the middle', 'patch name=a loose'],
    ['a byte that is not printable', 'patch name=a\u0007'],
    ['text that is not ASCII', 'patch name=ä'],
    ['a percent sign that encodes nothing', 'patch name=100%'],
    ['a line that is too long', `patch name=${'a'.repeat(4096)}`],
    ['a word in front with a bracket', '[0;31m name=a'],
  ])('is refused with %s', (_name, line) => {
    expect(of(line).ok).toBe(false)
  })

  it('does not touch prototypes', () => {
    expect(of('patch __proto__=1').ok).toBe(false)
    const read = of('patch constructor=1 tostring=2')
    expect(read.ok && read.value.values.get('constructor')).toBe('1')
    expect(({} as Record<string, unknown>)['constructor']).toBe(Object)
    expect(readHello(['constructor=1']).ok).toBe(false)
  })

  it('makes what was encoded inert', () => {
    const read = of('task comm=%1B%5B31mred%1B%5B0m%E2%80%AEx')
    expect(read.ok && read.value.values.get('comm')).toBe('redx')
  })
})

describe('percent-encoding', () => {
  it('brings any well-formed text back', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const encoded = encodeValue(text)
      return /^[A-Za-z0-9_.:+/=,@()%-]*$/.test(encoded) && decodeValue(encoded) === text.toWellFormed()
    }), { verbose: 1 })
  })

  it('puts U+FFFD for bytes that are no UTF-8 and keeps the rest', () => {
    expect(decodeValue('a%FF%C3%A4%80b%20c')).toBe('a\ufffdä\ufffdb c')
    expect(decodeValue('%F0%9F%90%A7%F0%9F')).toBe('🐧\ufffd\ufffd')
  })
})

describe('a reply that makes no sense', () => {
  const good = {
    hello: ['gate=uptide version=1 mode=installed', `bootid=${bootId} release=6.1.0-56-amd64 build=0123abcd arch=x86_64 uptime=12.34`],
    facts: ['release=6.1.0', `bootid=${bootId}`, 'build=-', 'arch=x86_64', 'cpus=2', 'taint=0', 'klp=1', 'patchstate=1', 'sigenforce=N', 'lockdown=none'],
    health: [`bootid=${bootId}`, 'taint=0', 'load1=0.10', 'uptime=99', 'oops=0 warn=0 hung=0'],
  }

  it('is told from one that does', () => {
    expect(readHello(good.hello).ok).toBe(true)
    expect(readFacts(good.facts).ok).toBe(true)
    expect(readHealth(good.health).ok).toBe(true)
  })

  it.each([
    ['another gate', () => readHello(good.hello.map((line) => line.replace('uptide', 'other')))],
    ['another version', () => readHello(good.hello.map((line) => line.replace('version=1', 'version=2')))],
    ['a boot id that is none', () => readHello(good.hello.map((line) => line.replace(bootId, 'same')))],
    ['no uptime', () => readHello(good.hello.map((line) => line.replace(/ uptime=.*/, '')))],
    ['a key in two lines', () => readHello([...good.hello, 'gate=uptide'])],
    ['an uptime that is not a number', () => readHello(good.hello.map((line) => line.replace('12.34', 'NaN')))],
    ['a taint of 1e400', () => readFacts(good.facts.map((line) => line.replace('taint=0', 'taint=1e400')))],
    ['a taint below zero', () => readFacts(good.facts.map((line) => line.replace('taint=0', 'taint=-1')))],
    ['a taint beyond 2^53', () => readFacts(good.facts.map((line) => line.replace('taint=0', 'taint=9999999999999999')))],
    ['a taint in hex', () => readFacts(good.facts.map((line) => line.replace('taint=0', 'taint=0x10')))],
    ['a release with a slash', () => readFacts(good.facts.map((line) => line.replace('6.1.0', '../6.1')))],
    ['a flag that is 2', () => readFacts(good.facts.map((line) => line.replace('klp=1', 'klp=2')))],
    ['a patch twice', () => readPatches(['patch name=a enabled=1', 'patch name=a enabled=1'])],
    ['a patch whose name is a path', () => readPatches(['patch name=../a enabled=1'])],
    ['a patch that is neither on nor off', () => readPatches(['patch name=a enabled=-'])],
    ['an object without its patch', () => readPatches(['object patch=b name=vmlinux patched=1'])],
    ['a function without its object', () => readPatches(['patch name=a enabled=1', 'func patch=a object=vmlinux name=f,1'])],
    ['another module than was asked for', () => readModule(['module name=other state=live refcnt=0'], 'm')],
    ['no module name', () => readModule([], 'm')],
    ['no exit status', () => readCommand(['text=ok'])],
    ['two exit statuses', () => readCommand(['exit=0 text=a', 'exit=1 text=b'])],
    ['an exit status of 4096', () => readCommand(['exit=4096 text=a'])],
    ['an errno with spaces', () => readWrite(['errno=EBUSY%20'])],
    ['a count that is a word', () => readNudge(['nudged=many'])],
    ['a blocker without a tid', () => readBlockers(['task pid=1 comm=a kernel=0 state=S stack='])],
    ['a state of two letters', () => readBlockers(['task tid=1 pid=1 comm=a kernel=0 state=SS stack='])],
    ['a progress without a count', () => readWatchLine('progress age=0 transition=1 enabled=1 all=3')],
    ['a log stamp that is text', () => readKlog(['klog at=now text=x'])],
    ['too many lines', () => readKlog(Array.from({ length: linesMax + 1 }, () => 'klog at=1 text=x'))],
  ] as const)('with %s is a fault, not a throw', (_name, read) => {
    const result = read()
    expect(result.ok).toBe(false)
    expect(!result.ok && result.detail.length).toBeGreaterThan(0)
  })

  it('never throws, whatever the lines are', () => {
    const word = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('patch', 'object', 'func', 'task', 'klog', 'progress', 'name=a', 'enabled=1', 'exit=0', 'tid=1', '__proto__=1', 'at=1', 'text=%', 'bootid=x'))
    const line = fc.array(word, { maxLength: 8 }).map((words) => words.join(' '))
    fc.assert(fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom(...Object.keys(readers)), (lines, name) => {
      const result = readers[name]!(lines)
      return typeof result.ok === 'boolean'
    }), { verbose: 1, numRuns: 2000 })
  })
})

it('blockers are bounded in number, in frames and in length', () => {
  const read = readBlockers(Array.from({ length: 90 }, (_each, index) => `task tid=${index} pid=1 comm=${'c'.repeat(90)} kernel=0 state=D stack=${Array.from({ length: 40 }, () => 'f+0x1/0x2').join(',')}`))
  expect(read.ok && [read.value.length, read.value[0]!.stack.length, read.value[0]!.comm.length]).toEqual([50, 16, 64])
})

it('a word that a newer gate adds is passed over', () => {
  const read = readPatches(['patch name=a enabled=1 transition=0 novel=7', 'novelty patch=a name=x'])
  expect(read.ok && read.value).toEqual([{ name: 'a', enabled: true, transition: false, replace: null, stackOrder: null, refcnt: null, taint: null, srcversion: null, build: null, objects: [] }])
})
