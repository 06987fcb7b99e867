import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findKey } from './key-file.js'

describe('the installation\'s key', () => {
  let dir: string
  const at = (name: string): string => path.join(dir, name)
  const put = (name: string, text: string | Uint8Array, mode = 0o600): string => {
    writeFileSync(at(name), text)
    chmodSync(at(name), mode)
    return at(name)
  }
  beforeEach(() => { dir = mkdtempSync(path.join(tmpdir(), 'uptide-key-')) })
  afterEach(() => { rmSync(dir, { recursive: true, force: true }) })

  it('is made at the first start, for its owner alone, and found again at the next', () => {
    const first = findKey({ UPTIDE_DATA: at('data') })
    expect(first.made).toBe(true)
    expect(first.key).toHaveLength(32)
    expect(statSync(first.file).mode & 0o777).toBe(0o600)
    const second = findKey({ UPTIDE_DATA: at('data') })
    expect(second.made).toBe(false)
    expect(Buffer.from(second.key).equals(Buffer.from(first.key))).toBe(true)
    expect(readdirSync(at('data'))).toEqual(['uptide.key'])
  })

  it.each([
    ['raw bytes', (key: Buffer) => key], ['hex', (key: Buffer) => `${key.toString('hex')}\n`], ['base64', (key: Buffer) => `${key.toString('base64')}\n`],
  ])('is read from a file with %s', (_what, write) => {
    const key = Buffer.alloc(32, 0xa5)
    const found = findKey({ UPTIDE_DATA: dir, UPTIDE_KEY_FILE: put('key', write(key)) })
    expect(Buffer.from(found.key).equals(key)).toBe(true)
  })

  it('comes from systemd when it hands one over, and the file that was named goes before that', () => {
    put('uptide-key', Buffer.alloc(32, 1))
    expect(findKey({ UPTIDE_DATA: at('data'), CREDENTIALS_DIRECTORY: dir }).key[0]).toBe(1)
    expect(findKey({ UPTIDE_DATA: at('data'), CREDENTIALS_DIRECTORY: dir, UPTIDE_KEY_FILE: put('other', Buffer.alloc(32, 2)) }).key[0]).toBe(2)
  })

  it('is refused when others can read it, when it is too short, and when its file is not there, each with the way out', () => {
    expect(() => findKey({ UPTIDE_DATA: dir, UPTIDE_KEY_FILE: put('open', Buffer.alloc(32), 0o644) })).toThrow(`chmod 600 ${at('open')}`)
    expect(() => findKey({ UPTIDE_DATA: dir, UPTIDE_KEY_FILE: put('short', 'c2hvcnQ=') })).toThrow(/does not hold a key of 32 bytes/)
    expect(() => findKey({ UPTIDE_DATA: dir, UPTIDE_KEY_FILE: at('none') })).toThrow(/does not exist/)
    // A named key that is missing is never replaced by a new one.
    expect(readdirSync(dir).sort()).toEqual(['open', 'short'])
    expect(readFileSync(at('short'), 'utf8')).toBe('c2hvcnQ=')
  })
})
