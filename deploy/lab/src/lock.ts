// One at a time between processes: a folder's creation is atomic, and a lock whose holder is gone is taken over.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const RETRY_MS = 200
/** A folder without a holder's name is one whose maker died in between the two steps, which take a millisecond. */
const NAMELESS_MAX_MS = 5_000

/** A process's identity: its id and when it started, so that an id used again is not taken for the old process. */
export async function processIdentity(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // Fields behind the command's closing parenthesis; the start time is field 22 of proc(5), so the 20th from there.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : `${pid} ${fields[19]}`
  } catch {
    return undefined
  }
}

/**
 * Does the work while holding the lock `file`. Waits up to `waitMs` milliseconds for another holder, then throws.
 * `onWait` is called once if there is a wait.
 */
export async function withLock<T>(file: string, waitMs: number, work: () => Promise<T>, onWait?: () => void): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true })
  const deadline = Date.now() + waitMs
  let namelessSince = 0
  for (let waited = false; ; waited = true) {
    try {
      await mkdir(file)
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = await readFile(path.join(file, 'holder'), 'utf8').catch(() => '')
    namelessSince = holder ? 0 : namelessSince || Date.now()
    const dead = holder ? await processIdentity(Number(holder.split(' ')[0])) !== holder : Date.now() - namelessSince > NAMELESS_MAX_MS
    if (dead) {
      // The rename lets exactly one of several waiters take the dead one's lock away.
      const grave = `${file}.dead-${process.pid}-${Date.now()}`
      await rename(file, grave).then(() => rm(grave, { recursive: true, force: true }), () => undefined)
      continue
    }
    if (Date.now() > deadline) throw new Error(`Another process (${holder.split(' ')[0] || 'unknown'}) has held ${file} for too long; remove it if that process is not a lab's.`)
    if (!waited) onWait?.()
    await sleep(RETRY_MS)
  }
  try {
    await writeFile(path.join(file, 'holder'), await processIdentity(process.pid) ?? '')
    return await work()
  } finally {
    await rm(file, { recursive: true, force: true })
  }
}
