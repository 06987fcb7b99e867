// Starts a control plane of its own as a child process, the way `npm start` does, and stops it again.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const root = process.env['UPTIDE_ROOT'] ?? fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

export interface Plane {
  readonly url: string
  /** The admin token, when this was the first start on its data folder. */
  readonly token: string | null
  readonly pid: number
  readonly log: string
  /** Ends it in order; its data stays. */
  stop(): Promise<void>
  /** Lets it outlive this process. */
  leave(): void
}

/** First start: initdb, migrations, queues. 5 s on a quiet machine. */
const startMaxMs = 90_000

export async function startPlane({ data, port, env = {} }: { data: string; port: number; env?: Readonly<Record<string, string>> }): Promise<Plane> {
  mkdirSync(data, { recursive: true })
  const log = path.join(data, 'server.log')
  const child = spawn(process.execPath, [path.join(root, 'apps/server/dist/main.js')], {
    cwd: root, env: { ...process.env, UPTIDE_ROOT: root, UPTIDE_DATA: data, PORT: String(port), ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true,
  })
  child.stderr.pipe(createWriteStream(log, { flags: 'a', mode: 0o600 }))
  let token: string | null = null
  let ended: string | null = null
  child.once('exit', (code, signal) => { ended = `the control plane ended (${code ?? signal})` })
  createInterface({ input: child.stdout }).on('line', (line) => { token = /Admin token \(shown once\): (\S+)/.exec(line)?.[1] ?? token })
  const url = `http://127.0.0.1:${port}`
  await untilWell(url, () => ended, log)
  return { url, get token() { return token }, pid: child.pid ?? 0, log, stop: () => stopChild(child), leave: () => { child.stdout.destroy(); child.stderr.destroy(); child.unref() } }
}

async function untilWell(url: string, ended: () => string | null, log: string): Promise<void> {
  for (const until = Date.now() + startMaxMs; Date.now() < until;) {
    const over = ended()
    if (over !== null) throw new Error(`${over}; its log: ${log}`)
    try { if ((await fetch(`${url}/api/v1/health`)).ok) return } catch { /* not yet */ }
    await sleep(100)
  }
  throw new Error(`the control plane did not answer within ${startMaxMs / 1000} s; its log: ${log}`)
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const gone = once(child, 'exit')
  await Promise.race([gone, sleep(30_000)])
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
}
