// Programs of the machine, started without a shell: arguments are never parsed by one.
import { spawn } from 'node:child_process'

export class ProgramFailed extends Error {
  constructor(readonly program: string, readonly status: number | null, readonly output: string) {
    super(`${program} ended with ${status === null ? 'a signal' : `status ${status}`}: ${output.trim().slice(-OUTPUT_SHOWN) || '(nothing was printed)'}`)
  }
}

/** What of a failed program's output an error shows: the last 25 lines or so of 80 columns. */
const OUTPUT_SHOWN = 2_000
/** What is kept of a program's output: apt's longest listing here is 20 KB, a kernel module's build 100 KB. */
const OUTPUT_KEPT = 4 * 1024 * 1024

export interface Finished { readonly status: number | null, readonly stdout: string, readonly stderr: string }

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Bytes for its standard input; without them it reads nothing. */
  readonly input?: string
  /** After this many milliseconds it is ended with SIGKILL; its status is then null. */
  readonly timeoutMs?: number
}

/** Runs a program to its end and returns its status and output, whatever the status. Throws only when it cannot be started. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd, env: { ...process.env, LC_ALL: 'C', ...options.env }, stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
    let room = OUTPUT_KEPT
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.on('data', (bytes: Buffer) => {
        if (room > 0) kept[name].push(bytes.subarray(0, room))
        room -= bytes.length
      })
    }
    const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.timeoutMs)
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, stdout: Buffer.concat(kept.stdout).toString(), stderr: Buffer.concat(kept.stderr).toString() })
    })
    child.stdin?.on('error', () => { /* it ended before it had read everything: its status tells */ })
    child.stdin?.end(options.input)
  })
}

/** Runs a program that must succeed and returns its standard output. Throws ProgramFailed otherwise. */
export async function must(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const done = await run(program, args, options)
  if (done.status !== 0) throw new ProgramFailed(program, done.status, done.stderr.trim() ? `${done.stdout.slice(-OUTPUT_SHOWN)}\n${done.stderr}` : done.stdout)
  return done.stdout
}

/** Runs at most `limit` of the tasks at once and returns their results in order; the first failure is thrown. */
export async function eachAtMost<T, R>(limit: number, items: readonly T[], task: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await task(items[index] as T, index)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane))
  return results
}
