// Where the data may lie. Run by root, PostgreSQL works under an account of its own, and that account must be able
// to reach its folder: a checkout in root's home (mode 0700) is out of its reach.
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Runner } from './binaries.js'

/** Holds what cannot lie where it was asked for. */
export const elsewhere = '/var/lib/uptide'

/** Can somebody who is neither owner nor in the group get to this folder, or to the nearest one above it that exists? */
export function reachable(folder: string): boolean {
  for (let at = folder; ; at = path.dirname(at)) {
    if (existsSync(at) && (statSync(at).mode & 0o001) === 0) return false
    if (at === path.dirname(at)) return true
  }
}

/**
 * The folder to use for `dir`: itself, or one below /var/lib/uptide of its own when the account cannot reach it.
 * `dir` then holds a file that says where the data is.
 */
export function placeFor(from: Runner, dir: string): string {
  const asked = path.resolve(dir)
  if (from.uid === undefined || reachable(asked)) return asked
  const place = path.join(elsewhere, `data-${createHash('sha256').update(asked).digest('hex').slice(0, 16)}`)
  mkdirSync(asked, { recursive: true })
  mkdirSync(elsewhere, { recursive: true })
  chmodSync(elsewhere, 0o755)
  writeFileSync(path.join(asked, 'WHERE'), `PostgreSQL runs under an account that cannot reach this folder.\nIts data is in ${place}\n`)
  return place
}
