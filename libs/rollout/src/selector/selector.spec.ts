import { describe, expect, it } from 'vitest'
import { Chance } from '../testing/seed.js'
import { factNames, type Field, operators, type SelectableHost, type Selector, selectorLimits } from './grammar.js'
import { globMatches, matches, versionOrder } from './match.js'
import { readSelector } from './read.js'
import { writeSelector } from './write.js'

const web: SelectableHost = { name: 'web-1.fra', kernel: '6.1.0-9-amd64', arch: 'x86_64', mechanism: null, state: 'enrolled', labels: { role: 'web', 'my key': 'a "b" \\', tier: '2' } }

const named = (text: string, host = web): boolean => {
  const read = readSelector(text)
  if (!read.ok) throw new Error(`${read.fault.says}\n${read.fault.shown}`)
  return matches(read.selector, host)
}

describe('a selector', () => {
  it.each([
    ['all', true],
    ['label.role = web', true],
    ['label.role == web and arch = x86_64', true],
    ['label.role = db or label.tier = 2 and name ~ web-*', true],
    ['(label.role = db or label.tier = 2) and name ~ db-*', false],
    ['NOT label.role = web', false],
    ['kernel < 6.12', true],
    ['kernel >= 6.1.0-10', false],
    ['name ~ "web-?.fra"', true],
    ['name !~ *.fra', false],
    ['label.role in (db, web)', true],
    ['label.role not in (db, web)', false],
    ['label."my key" = "a \\"b\\" \\\\"', true],
    ['has mechanism', false],
    ['has label.zone', false],
    ['label.zone != a', true],
    ['label.zone = a', false],
    ['label.zone < 9', false],
    ['label.zone !~ *', true],
    ['label.zone not in (a)', true],
    ['label.constructor = x or has label.toString', false],
  ])('%s', (text, wanted) => { expect(named(text)).toBe(wanted) })

  it.each([
    ['', 0, /cannot be empty/],
    ['label.role = ', 13, /Expected a value, not the end/],
    ['role = web', 0, /did you mean label\.role\?/],
    ['label.role web', 11, /After a field comes/],
    ['(name = a', 0, /never closed/],
    ['name = a)', 8, /never opened/],
    ['name = a name = b', 9, /Expected "and", "or" or the end/],
    ['name = "a', 7, /no closing quote/],
    ['name = "a\\n"', 9, /backslash/],
    ['name = a && arch = b', 9, /write "and"/],
    ['name = or', 7, /needs quotes/],
    ['name in a', 8, /list in brackets/],
    ['name in (a b)', 11, /Expected "," or "\)"/],
    ['label. = a', 7, /comes the label's key/],
    ['name = a; DROP TABLE hosts', 8, /means nothing here/],
    ['name = \u202eevil', 7, /means nothing here/],
  ])('that is wrong is answered with the place: %s', (text, at, says) => {
    const read = readSelector(text)
    expect(read).toMatchObject({ ok: false, fault: { at, says: expect.stringMatching(says) as string } })
    if (!read.ok) expect(read.fault.shown.split('\n')[1]).toMatch(/^ *\^+$/)
  })

  it('that is huge or nested without end is refused, and at once', () => {
    expect(readSelector(`${'('.repeat(60)}all${')'.repeat(60)}`)).toMatchObject({ ok: false, fault: { says: expect.stringContaining(`${selectorLimits.depth} deep`) as string } })
    expect(readSelector('not '.repeat(4_000))).toMatchObject({ ok: false })
    expect(readSelector(`name in (${'a,'.repeat(3_000)}a)`)).toMatchObject({ ok: false, fault: { says: expect.stringContaining('2000 values') as string } })
    expect(readSelector(' '.repeat(selectorLimits.characters + 1))).toMatchObject({ ok: false })
  })

  it('is the same after it was written and read again', () => {
    for (let seed = 1; seed <= 1_000; seed++) {
      const selector = anySelector(new Chance(seed), 4)
      const text = writeSelector(selector)
      const read = readSelector(text)
      expect(read, text).toEqual({ ok: true, selector })
    }
  })

  it('never makes its reader throw, whatever it is', () => {
    const parts = ['label.', 'name', '"', '\\', '(', ')', ',', 'in', 'not', 'and', '=', '!=', '~', 'has', ' ', '\n', '\0', 'ä', '*', 'all', '=='] as const
    for (let seed = 1; seed <= 5_000; seed++) {
      const chance = new Chance(seed)
      const text = Array.from({ length: 1 + chance.whole(0, 11) }, () => chance.pick(parts)).join(chance.whole(0, 1) === 0 ? ' ' : '')
      const read = readSelector(text)
      if (read.ok) expect(typeof matches(read.selector, web)).toBe('boolean')
      else expect(read.fault.at).toBeLessThanOrEqual(text.length)
    }
  })
})

describe('a glob', () => {
  it('costs pattern × text at worst, never more', () => {
    expect(globMatches('*a'.repeat(200) + 'b', 'a'.repeat(20_000))).toBe(false)
    expect(globMatches('a*b*c', 'a-b-b-c')).toBe(true)
    expect(globMatches('', '')).toBe(true)
    expect(globMatches('**', '')).toBe(true)
    expect(globMatches('a.c', 'abc')).toBe(false)
  })
})

describe('the order of versions', () => {
  it('is the one that people read', () => {
    const order = ['5.10.0-8', '6.1-rc2', '6.1.0', '6.1.0-9', '6.1.0-10', '6.9', '6.12.1', '7.2', '20260101000000000000001', '20260101000000000000002']
    for (const [i, a] of order.entries()) for (const [j, b] of order.entries()) expect(Math.sign(versionOrder(a, b)), `${a} ${b}`).toBe(Math.sign(i - j))
  })
})

function anySelector(chance: Chance, depth: number): Selector {
  const texts = ['web', 'a b', '"', '\\', 'or', 'IN', '6.1.0-9', '', 'ä', '*x?'] as const
  const text = (): string => chance.pick(texts)
  const fact = chance.pick(factNames)
  const field: Field = chance.whole(0, 1) === 0 ? { kind: 'fact', name: fact } : { kind: 'label', key: text() || 'role' }
  const some = (least: number): number[] => Array.from({ length: least + chance.whole(0, 2) }, (_, n) => n)
  switch (depth === 0 ? chance.whole(0, 3) : chance.whole(0, 6)) {
    case 0: return { kind: 'all' }
    case 1: return { kind: 'has', field }
    case 2: return { kind: 'in', field, values: some(1).map(text) }
    case 3: return { kind: 'compare', field, operator: chance.pick(operators), value: text() }
    case 4: return { kind: 'not', of: anySelector(chance, depth - 1) }
    case 5: return { kind: 'and', of: some(2).map(() => anySelector(chance, depth - 1)) }
    default: return { kind: 'or', of: some(2).map(() => anySelector(chance, depth - 1)) }
  }
}
