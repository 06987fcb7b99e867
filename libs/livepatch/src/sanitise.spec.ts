import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sanitise } from './sanitise.js'

describe('host text is made inert', () => {
  it.each([
    ['colours', '\u001b[31mred\u001b[0m', 'red'],
    ['a title that OSC sets', '\u001b]0;owned\u0007text', 'text'],
    ['a clipboard write that ends in ST', 'a\u001b]52;c;ZXZpbA==\u001b\\b', 'ab'],
    ['a hyperlink', '\u001b]8;;http://evil\u001b\\click\u001b]8;;\u001b\\', 'click'],
    ['eight-bit CSI and OSC', '\u009b31mx\u009d0;t\u009cy', 'xy'],
    ['DCS, APC and PM', '\u001bPq#0\u001b\\a\u001b_x\u001b\\b\u001b^y\u001b\\c', 'abc'],
    ['a character set switch', '\u001b(0lqk\u001b(B', 'lqk'],
    ['overwriting with a carriage return', 'safe\revil', 'safe evil'],
    ['lines and tabs', 'a\nb\tc', 'a b c'],
    ['backspace, bell, NUL and DEL', 'a\b\u0007\u0000\u007fb', 'ab'],
    ['a right-to-left override', 'abc\u202egnp.exe', 'abcgnp.exe'],
    ['isolates and marks', '\u2066a\u2069\u200fb\u061c', 'ab'],
    ['zero-width characters and a BOM', 'a\u200bb\u200dc\ufeffd', 'abcd'],
    ['tag characters', 'a\u{e0041}\u{e0042}b', 'ab'],
    ['a lone surrogate', 'a\ud800b', 'a\ufffdb'],
    ['a line separator', 'a\u2028b', 'ab'],
    ['an unfinished sequence', 'a\u001b[', 'a'],
  ])('%s', (_name, text, inert) => {
    expect(sanitise(text)).toBe(inert)
  })

  it('leaves plain text of any language alone', () => {
    for (const text of ['kworker/0:1-mm_percpu_wq', 'größe 100 %', 'リナックス', 'ядро', '🐧 ok']) expect(sanitise(text)).toBe(text)
  })

  it('is short, inert and the same when done twice, for any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.integer({ min: 1, max: 200 }), (text, max) => {
      const once = sanitise(text, max)
      expect(once.length).toBeLessThanOrEqual(max)
      expect(once).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/)
      expect(once.isWellFormed()).toBe(true)
      expect(sanitise(once, max)).toBe(once)
    }), { verbose: 1, numRuns: 500 })
  })

  it('costs no more for a megabyte than for what is kept', () => {
    const text = '\u001b]'.repeat(500_000)
    expect(sanitise(text, 100)).toBe('…')
  })
})
