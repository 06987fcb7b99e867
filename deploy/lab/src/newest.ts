// A set of packages in the cache: the newest known one is used until it is old, then the mirror is asked again.
import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { withLock } from './lock.js'
import type { Say } from './machine.js'
import { pruneUnused, touch } from './prune.js'

/** Debian updates a stable kernel about monthly; older knowledge is asked for anew when the mirror answers. */
const REFRESH_AFTER_MS = 30 * 24 * 3_600_000
const RETRY_AFTER_MS = 24 * 3_600_000
/** Fetching a set takes ten seconds to three minutes on a slow line; another process's fetch is waited for this long. */
const LOCK_WAIT_MS = 20 * 60_000
/** Folders of sets end in the digest of what is in them. */
const SET_FOLDER = /(^|-)[0-9a-f]{16}$/

export interface PackageSet<T> {
  /** What progress lines call it. */
  readonly label: string
  /** Its folder in the cache. */
  readonly base: string
  /** Opens a finished set by the name of its folder; undefined when it is not there or not finished. */
  open(name: string): Promise<T | undefined>
  /** Asks the mirror, fetches what is new and returns the name of the set's folder. */
  fetch(): Promise<string>
}

/** Makes the set ready and returns it. `refresh` asks the mirror even when the cache is fresh, and fails with it. */
export function ensureNewest<T>(set: PackageSet<T>, say: Say, refresh: boolean): Promise<T> {
  return withLock(path.join(set.base, 'lock'), LOCK_WAIT_MS, async () => {
    const pointer = path.join(set.base, 'current')
    const known = await readFile(pointer, 'utf8').then((text) => text.trim(), () => '')
    const kept = known ? await set.open(known) : undefined
    if (kept) await touch(path.join(set.base, known))
    if (kept && !refresh && Date.now() - (await stat(pointer)).mtimeMs < REFRESH_AFTER_MS) return kept
    try {
      const name = await set.fetch()
      const opened = await set.open(name)
      if (!opened) throw new Error(`The set ${name} was fetched and is not complete.`)
      await writeFile(`${pointer}.new`, `${name}\n`)
      await rename(`${pointer}.new`, pointer)
      // apt's lists are fetched anew with each question: 20 MB a suite that nobody reads in between.
      await rm(path.join(set.base, 'apt'), { recursive: true, force: true })
      await pruneUnused(set.base, SET_FOLDER)
      return opened
    } catch (error) {
      if (!kept || refresh) throw error
      // Asked again tomorrow, not with every command of a machine without a network.
      await utimes(pointer, new Date(), new Date(Date.now() - REFRESH_AFTER_MS + RETRY_AFTER_MS))
      say(`${set.label}: the mirror could not be asked for a newer one (${(error as Error).message.split('\n')[0]}); the one in the cache is used`)
      return kept
    }
  }, () => say(`${set.label}: another process is fetching it; waiting`))
}
