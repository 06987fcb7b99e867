// A demo that was left running is ended before the next begins.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const alive = (pid: number): boolean => { try { return /main\.js/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')) } catch { return false } }

/** Ends the control plane of an earlier demo on this folder, by the note that it left; nothing else. */
export async function stopLeftover(data: string, port: number): Promise<void> {
  let pid: number
  try { ({ pid } = JSON.parse(readFileSync(path.join(data, `running-${port}.json`), 'utf8')) as { pid: number }) } catch { pid = 0 }
  if (pid > 1 && alive(pid)) {
    process.kill(pid, 'SIGTERM')
    for (let i = 0; i < 300 && alive(pid); i++) await sleep(100)
  }
  await stopOrphan(path.join(data, 'postgres/data/postmaster.pid'))
}

/** A database server whose control plane was killed. */
async function stopOrphan(file: string): Promise<void> {
  let pid: number
  try { pid = Number(readFileSync(file, 'utf8').split('\n')[0]) } catch { return }
  const isOurs = (): boolean => { try { return /postgres/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')) } catch { return false } }
  if (!(pid > 1) || !isOurs()) return
  process.kill(pid, 'SIGINT') // PostgreSQL's fast shutdown
  for (let i = 0; i < 300 && isOurs(); i++) await sleep(100)
}
