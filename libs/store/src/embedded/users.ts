// Which of our processes use a cluster: the last one to leave stops it, and a killed one does not count.
// Also the lock under which a cluster is made, started and stopped.
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What names one process for ever: its id, and when it was started in clock ticks since boot (proc(5), field 22). */
function startedAt(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie holds nothing any more.
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch { return null }
}

const nameOf = (pid: number): string => `${pid}-${startedAt(pid)}`

function isAlive(name: string): boolean {
  const [pid, since] = name.split('-')
  return since !== undefined && since !== '' && startedAt(Number(pid)) === since
}

const usersFolder = (folder: string): string => path.join(folder, 'users')

/** One process may hold a cluster several times. */
const held = new Map<string, number>()

export function enter(folder: string): void {
  mkdirSync(usersFolder(folder), { recursive: true })
  writeFileSync(path.join(usersFolder(folder), nameOf(process.pid)), '')
  held.set(folder, (held.get(folder) ?? 0) + 1)
}

/** @returns true when nobody that is alive uses the cluster any more. */
export function leave(folder: string): boolean {
  const left = (held.get(folder) ?? 1) - 1
  held.set(folder, left)
  if (left > 0) return false
  rmSync(path.join(usersFolder(folder), nameOf(process.pid)), { force: true })
  let others = 0
  for (const name of readdirSync(usersFolder(folder))) {
    if (isAlive(name)) others += 1
    else rmSync(path.join(usersFolder(folder), name), { force: true })
  }
  return others === 0
}

/** Recovery after a crash may be under way in the process that holds the lock. */
const lockWaitMs = 180_000
const lockLookMs = 50

/**
 * Runs `work` while no other process of this machine works on the folder. The lock of a killed process does not count.
 * @throws when it is not had within `lockWaitMs`.
 */
export async function locked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const file = path.join(folder, 'lock')
  const mine = path.join(folder, `lock-${nameOf(process.pid)}-${locks++}`)
  writeFileSync(mine, nameOf(process.pid))
  try {
    // A link appears with its content at once: nobody reads a lock that is half written.
    for (const until = Date.now() + lockWaitMs; ; ) {
      if (taken(mine, file)) break
      dropDead(file)
      if (Date.now() > until) throw new Error(`Another process has held ${file} for ${lockWaitMs / 1000} s. If there is none, remove that file.`)
      await sleep(lockLookMs)
    }
  } finally { rmSync(mine, { force: true }) }
  try { return await work() } finally { rmSync(file, { force: true }) }
}

let locks = 0

function taken(mine: string, file: string): boolean {
  try { linkSync(mine, file); return true } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false
    throw error
  }
}

function dropDead(file: string): void {
  try { if (!isAlive(readFileSync(file, 'utf8'))) unlinkSync(file) } catch { /* Another one was faster. */ }
}
