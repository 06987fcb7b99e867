// The installation's key: from a file or a systemd credential, never from the database.
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import path from 'node:path'
import type { Env } from '../env.js'

const keyBytes = 32

export interface FoundKey { readonly key: Uint8Array; readonly file: string; readonly made: boolean }

/**
 * The key named by UPTIDE_KEY_FILE, or systemd's credential `uptide-key`, or the data folder's own, made at first start.
 * @throws Error when the file is missing, readable by others, or does not hold 32 bytes (raw, hex or base64).
 */
export function findKey(env: Pick<Env, 'UPTIDE_KEY_FILE' | 'CREDENTIALS_DIRECTORY' | 'UPTIDE_DATA'>): FoundKey {
  const credential = env.CREDENTIALS_DIRECTORY === undefined ? null : path.join(env.CREDENTIALS_DIRECTORY, 'uptide-key')
  const given = env.UPTIDE_KEY_FILE ?? (credential !== null && existsSync(credential) ? credential : null)
  if (given !== null) return { key: readKey(given), file: given, made: false }
  const file = path.join(env.UPTIDE_DATA, 'uptide.key')
  const made = !existsSync(file) && makeKey(file)
  return { key: readKey(file), file, made }
}

/** Whole or not at all: it appears under its name only once it is on the disk. Of two first starts at once, one makes it. */
function makeKey(file: string): boolean {
  mkdirSync(path.dirname(file), { recursive: true })
  const part = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`
  try {
    const handle = openSync(part, 'wx', 0o600)
    try {
      writeSync(handle, `${randomBytes(keyBytes).toString('base64')}\n`)
      fsyncSync(handle)
    } finally { closeSync(handle) }
    linkSync(part, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally { rmSync(part, { force: true }) }
}

/** systemd and Docker hand secrets over in folders of their own, with a mode they choose. */
const handedOver = (file: string): boolean => file.startsWith('/run/credentials/') || file.startsWith('/run/secrets/')

function readKey(file: string): Uint8Array {
  if (!existsSync(file)) throw new Error(`${file}, which is to hold the installation's key, does not exist. Without it no sealed credential opens.`)
  if ((statSync(file).mode & 0o077) !== 0 && !handedOver(file)) throw new Error(`${file} holds the installation's key and can be read by others: chmod 600 ${file}`)
  const bytes = readFileSync(file)
  if (bytes.length === keyBytes) return bytes
  const text = bytes.toString('latin1').trim()
  const key = /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (key.length !== keyBytes) throw new Error(`${file} does not hold a key of ${keyBytes} bytes (raw, hex or base64).`)
  return key
}
