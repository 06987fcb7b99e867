import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeReplyLine, encodeRequest, LineCutter } from './codec.js'
import { gateLineBytesMax } from './protocol.js'

const nonce = '0123456789abcdef'
const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

describe('requests to the gate', () => {
  it('are one line of plain words', () => {
    expect(encodeRequest(nonce, 'load', ['uptide_v1', 'a'.repeat(64), '6.1.0-50', '-'])).toBe(`${nonce} load uptide_v1 ${'a'.repeat(64)} 6.1.0-50 -\n`)
  })

  it('are never written with a word that a shell could read', () => {
    for (const hostile of ['', ' ', 'a b', '$(id)', '`id`', ';id', 'a\nb', 'a\0b', '../../etc/passwd\n', 'ä', '"', "'", '|', '&', '>', '*', '?', 'x'.repeat(300)]) expect(() => encodeRequest(nonce, 'module', [hostile])).toThrow(TypeError)
    expect(() => encodeRequest('short', 'hello', [])).toThrow(TypeError)
    expect(() => encodeRequest(nonce, 'do it', [])).toThrow(TypeError)
  })

  it('hold, whatever the words are, exactly one newline, at their end', () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { maxLength: 5 }), (args) => {
      let line: string
      try { line = encodeRequest(nonce, 'read', args) } catch { return }
      expect(line.indexOf('\n')).toBe(line.length - 1)
      expect(line.slice(0, -1).split(' ')).toEqual([nonce, 'read', ...args])
    }), { numRuns: 2000 })
  })
})

describe('lines of a reply', () => {
  it('are data, an end with a count, or a refusal with its code', () => {
    expect(decodeReplyLine(nonce, `${nonce} + a=1 b=2`)).toEqual({ kind: 'data', text: 'a=1 b=2' })
    expect(decodeReplyLine(nonce, `${nonce} = 12`)).toEqual({ kind: 'done', count: 12 })
    expect(decodeReplyLine(nonce, `${nonce} ! WRONG_KERNEL the%20kernel`)).toEqual({ kind: 'refused', code: 'WRONG_KERNEL', detail: 'the%20kernel' })
  })

  it('of another request, or of nobody, are no lines at all', () => {
    for (const line of ['', 'hello', `${'f'.repeat(16)} = 0`, `${nonce}`, `${nonce} ? x`, `${nonce} = many`, `${nonce} = -1`, `${nonce} ! lower x`, `${nonce}+ a`]) expect(decodeReplyLine(nonce, line), line).toBeNull()
  })

  it('come out the same however the stream is cut', () => {
    fc.assert(fc.property(fc.array(fc.stringMatching(/^[\x20-\x7e]{0,40}$/), { maxLength: 20 }), fc.array(fc.nat(60), { maxLength: 60 }), (lines, cuts) => {
      const whole = bytes(lines.map((line) => `${line}\n`).join(''))
      const cutter = new LineCutter()
      const out: string[] = []
      let from = 0
      for (const length of [...cuts, whole.length]) {
        const cut = cutter.push(whole.subarray(from, from + length))
        expect(cut.ok).toBe(true)
        if (cut.ok) out.push(...cut.lines)
        from += length
      }
      expect(out).toEqual(lines)
    }), { numRuns: 1000 })
  })

  it('are refused when they are too long or no text, before they can fill memory', () => {
    expect(new LineCutter().push(new Uint8Array(gateLineBytesMax + 1).fill(97))).toEqual({ ok: false, why: 'LINE_TOO_LONG' })
    expect(new LineCutter().push(bytes('a\u001b[2J\n'))).toEqual({ ok: false, why: 'NOT_PRINTABLE' })
    expect(new LineCutter().push(Uint8Array.of(0xff, 0x0a))).toEqual({ ok: false, why: 'NOT_PRINTABLE' })
  })
})
