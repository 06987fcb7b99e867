// Reads an uploaded module in a thread of its own: a hostile file can cost two seconds and some memory, no more.
import { Worker } from 'node:worker_threads'
import type { ModuleVerdict } from '@uptide/livepatch'

// Under the tests the sources run as they are, and a thread has nobody to translate them: it takes the built file.
const thread = new URL(import.meta.url.endsWith('.ts') ? '../../dist/patches/reader-thread.js' : './reader-thread.js', import.meta.url)

const readMaxMs = 2_000
/** The file itself is at most 64 MiB and is copied once; what is read from it is bounded by named limits. */
const heapMaxMb = 192

export type ReadVerdict = ModuleVerdict | { readonly ok: false; readonly code: 'TOO_SLOW' | 'TOO_HEAVY'; readonly says: string }

/** Threads at once: each may take a core for two seconds and 192 MB, and its time runs from its start. */
const readsAtOnceMax = 2
let running = 0
const waiting: (() => void)[] = []

export async function readInWorker(bytes: Uint8Array): Promise<ReadVerdict> {
  if (running >= readsAtOnceMax) await new Promise<void>((done) => { waiting.push(done) })
  else running += 1
  try { return await readNow(bytes) } finally {
    // Whoever waits takes this place over.
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }
}

function readNow(bytes: Uint8Array): Promise<ReadVerdict> {
  return new Promise((done) => {
    const own = Uint8Array.from(bytes)
    const worker = new Worker(thread, { workerData: own, transferList: [own.buffer], execArgv: [], env: {}, stdout: true, stderr: true, resourceLimits: { maxOldGenerationSizeMb: heapMaxMb } })
    const end = (verdict: ReadVerdict): void => { clearTimeout(timer); void worker.terminate(); done(verdict) }
    const timer = setTimeout(() => { end({ ok: false, code: 'TOO_SLOW', says: `The file could not be read within ${readMaxMs / 1000} s; no real module takes so long.` }) }, readMaxMs)
    worker.once('message', (verdict: ModuleVerdict) => { end(verdict) })
    worker.once('error', () => { end({ ok: false, code: 'TOO_HEAVY', says: 'The file cannot be read with the memory that a module may take.' }) })
  })
}
