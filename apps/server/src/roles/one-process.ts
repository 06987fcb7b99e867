// Who runs on this data folder and port, so that a second start can say so instead of failing oddly.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export interface Note { readonly pid: number; readonly url: string }

const noteFile = (folder: string, port: number): string => path.join(folder, `running-${port}.json`)

/** Another living control plane on the same folder and port, or null. */
export function runningHere(folder: string, port: number): Note | null {
  try {
    const note = JSON.parse(readFileSync(noteFile(folder, port), 'utf8')) as Note
    // A process id may have been given to something else since.
    return note.pid !== process.pid && /main\.js/.test(readFileSync(`/proc/${note.pid}/cmdline`, 'utf8')) ? note : null
  } catch { return null }
}

export function leaveNote(folder: string, port: number, url: string): () => void {
  // It only makes a refusal readable: a folder that cannot be written (a read-only container) is no reason to stop.
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(noteFile(folder, port), JSON.stringify({ pid: process.pid, url }), { mode: 0o600 })
  } catch { return () => {} }
  return () => { rmSync(noteFile(folder, port), { force: true }) }
}
