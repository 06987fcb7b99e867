// The installation's key: from a file or a systemd credential, never from the database.
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import path from 'node:path'
import type { Env } from '../env.js'

const keyBytes = 32

export interface FoundKey { readonly key: Uint8Array; readonly file: string; readonly made: boolean }

/**
 * The key named by UPTIDE_KEY_FILE, or systemd's credential `uptide-key`, or the data folder's own, made at first start.
 * @throws when the file is readable by others or does not hold 32 bytes (raw, hex or base64).
 */
export function findKey(env: Pick<Env, 'UPTIDE_KEY_FILE' | 'CREDENTIALS_DIRECTORY' | 'UPTIDE_DATA'>): FoundKey {
  const credential = env.CREDENTIALS_DIRECTORY === undefined ? null : path.join(env.CREDENTIALS_DIRECTORY, 'uptide-key')
  const given = env.UPTIDE_KEY_FILE ?? (credential !== null && existsSync(credential) ? credential : null)
  if (given !== null) return { key: readKey(given), file: given, made: false }
  const file = path.join(env.UPTIDE_DATA, 'uptide.key')
  if (existsSync(file)) return { key: readKey(file), file, made: false }
  mkdirSync(env.UPTIDE_DATA, { recursive: true })
  const key = randomBytes(keyBytes)
  try {
    // Exclusive: of two first starts at once, one makes it and the other reads it.
    const handle = openSync(file, 'wx', 0o600)
    try { writeSync(handle, `${key.toString('base64')}\n`) } finally { closeSync(handle) }
    return { key, file, made: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return { key: readKey(file), file, made: false }
  }
}

function readKey(file: string): Uint8Array {
  if ((statSync(file).mode & 0o077) !== 0 && !file.startsWith('/run/')) throw new Error(`${file} holds the installation's key and can be read by others: chmod 600 ${file}`)
  const bytes = readFileSync(file)
  if (bytes.length === keyBytes) return bytes
  const text = bytes.toString('latin1').trim()
  const key = /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (key.length !== keyBytes) throw new Error(`${file} does not hold a key of ${keyBytes} bytes (raw, hex or base64).`)
  return key
}
