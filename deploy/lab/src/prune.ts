// The cache forgets what nobody has used for long: kernels, modules and images of versions that Debian or this project left behind.
import { readdir, rm, stat, utimes } from 'node:fs/promises'
import path from 'node:path'

/** Two months: longer than a branch usually waits, and at 20-300 MB a version a few GB at most. */
const UNUSED_MAX_MS = 60 * 24 * 3_600_000

/** Notes that an entry of the cache is in use now. */
export const touch = (entry: string): Promise<void> => utimes(entry, new Date(), new Date())

/** Removes the folder's entries whose names match and that were not used for two months. */
export async function pruneUnused(folder: string, names: RegExp): Promise<void> {
  const oldest = Date.now() - UNUSED_MAX_MS
  for (const name of await readdir(folder).catch(() => [] as string[])) {
    if (!names.test(name)) continue
    const entry = path.join(folder, name)
    const used = await stat(entry).then((found) => found.mtimeMs, () => Date.now())
    if (used < oldest) await rm(entry, { recursive: true, force: true })
  }
}
