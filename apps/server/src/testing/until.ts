import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until something holds; the time is a limit for a slow machine, never a pause. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(20)) if (await holds()) return
  throw new Error(`within ${withinMs} ms it did not come true: ${what}`)
}
