import { describe, expect, it } from 'vitest'
import { adviceOf, errorCodes, isErrorCode, retryOf, sentenceOf } from './errors.js'

describe('the table of codes', () => {
  it.each(Object.entries(errorCodes))('%s is one sentence with an advice', (code, { retry, says, advice }) => {
    expect(code).toMatch(/^[A-Z][A-Z_]+$/)
    expect(['never', 'after-transition', 'backoff']).toContain(retry)
    expect(says).toMatch(/^[A-Z].*\.$/)
    expect(advice).toMatch(/^[A-Z].*\.$/)
    expect(sentenceOf(code)).toBe(says)
    expect(adviceOf(code)).toBe(advice)
    expect(retryOf(code)).toBe(retry)
  })

  it('retries what passes and never what a person must look at', () => {
    expect(retryOf('TRANSITION_BUSY')).toBe('after-transition')
    for (const code of ['UNREACHABLE', 'CONTACT_LOST', 'LOCKED', 'REPLY_TIMEOUT', 'ACTIVENESS']) expect(retryOf(code)).toBe('backoff')
    for (const code of ['HOST_KEY_CHANGED', 'STALE_TOKEN', 'SYMBOL_MISMATCH', 'SIGNATURE_REJECTED', 'PINNED', 'AUTH_FAILED']) expect(retryOf(code)).toBe('never')
  })

  it('a code that a host made up is never retried, and its text is not repeated', () => {
    for (const code of ['__proto__', 'constructor', 'toString', '', '\u001b[31mX', 'A'.repeat(100)]) {
      expect(isErrorCode(code)).toBe(false)
      expect(retryOf(code)).toBe('never')
      expect(sentenceOf(code)).toMatch(/not known: \?\.$/)
      expect(adviceOf(code)).toBe('')
    }
    expect(sentenceOf('MADE_UP')).toContain('MADE_UP')
  })
})
