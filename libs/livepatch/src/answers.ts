// The replies to single acts: load, unload, write, nudge, scan, blockers, watch, health. Facts and inventory: facts.ts.
import type { Progress } from './driver.js'
import { bootIdOf } from './facts.js'
import { klogLinesOf } from './klog.js'
import type { KlogLine } from './klog.js'
import type { Blocker } from './outcome.js'
import { allFields, countOf, fault, fieldsOf, flagOrNull, mergedFields, reading, secondsOf, textOf, textOrNull, wordOf } from './reply.js'
import type { Fields, Read } from './reply.js'
import { sanitise } from './sanitise.js'

export interface CommandAnswer { readonly exit: number; readonly text: string; readonly klog: readonly KlogLine[] }

const onlyLine = (all: readonly Fields[], has: string): Fields => {
  const found = all.filter((fields) => fields.tag !== 'klog' && fields.values.has(has))
  return found.length === 1 ? found[0]! : fault(`a reply has ${found.length} lines with ${has}=`)
}

/** `exit=N text=…` of load and unload, with the kernel log lines behind it. */
export function readCommand(lines: readonly string[]): Read<CommandAnswer> {
  return reading(() => {
    const all = allFields(lines)
    const fields = onlyLine(all, 'exit')
    return { exit: Number(wordOf(fields, 'exit', /^\d{1,3}$/)), text: textOf(fields, 'text'), klog: klogLinesOf(all) }
  })
}

/** null: the write was taken. Otherwise the errno's name, or `?`. It says nothing of what the kernel made of it. */
export function readWrite(lines: readonly string[]): Read<string | null> {
  return reading(() => {
    const errno = wordOf(mergedFields(lines), 'errno', /^(?:-|\?|E[A-Z0-9]{1,20})$/)
    return errno === '-' ? null : errno
  })
}

/** How many tasks were woken. */
export function readNudge(lines: readonly string[]): Read<number> {
  return reading(() => countOf(mergedFields(lines), 'nudged'))
}

export interface Scan { readonly all: number; readonly patched: number; readonly unpatched: number; readonly undefined: number }

export function readScan(lines: readonly string[]): Read<Scan> {
  return reading(() => {
    const fields = onlyLine(allFields(lines), 'all')
    return { all: countOf(fields, 'all'), patched: countOf(fields, 'patched'), unpatched: countOf(fields, 'unpatched'), undefined: countOf(fields, 'undefined') }
  })
}

/** Frames kept per blocker; the top ones name the function that holds it. */
const stackFramesMax = 16
/** Blockers kept of one reply. */
export const blockersMax = 50

export function readBlockers(lines: readonly string[]): Read<Blocker[]> {
  return reading(() => allFields(lines).filter((fields) => fields.tag === 'task').slice(0, blockersMax).map((fields) => ({
    tid: countOf(fields, 'tid'),
    pid: countOf(fields, 'pid'),
    comm: sanitise(textOf(fields, 'comm'), 64),
    kernelTask: flagOrNull(fields, 'kernel') ?? false,
    state: wordOf(fields, 'state', /^[A-Za-z?-]$/),
    stack: (textOrNull(fields, 'stack') ?? '').split(',').filter((frame) => frame !== '').slice(0, stackFramesMax).map((frame) => sanitise(frame, 128)),
  })))
}

export interface WatchLine extends Progress {
  /** null: the file is not there any more. */
  readonly transition: boolean | null
  readonly enabled: boolean | null
}

/** One `progress` line of a running watch; null for a line of another kind. */
export function readWatchLine(line: string): Read<WatchLine | null> {
  return reading(() => {
    const fields = fieldsOf(line)
    if (fields.tag !== 'progress') return null
    const all = countOf(fields, 'all')
    return {
      transitionAgeMs: countOf(fields, 'age'), transition: flagOrNull(fields, 'transition'), enabled: flagOrNull(fields, 'enabled'),
      all, moved: Math.min(all, countOf(fields, 'moved')),
    }
  })
}

/** The last progress line of a watch; null when it said nothing. */
export function readWatch(lines: readonly string[]): Read<WatchLine | null> {
  return reading(() => {
    let last: WatchLine | null = null
    for (const line of lines.slice(-1)) {
      const read = readWatchLine(line)
      if (!read.ok) fault(read.detail)
      last = read.value
    }
    return last
  })
}

export interface Health {
  readonly bootId: string
  readonly taint: number
  readonly load1: number
  readonly uptimeSeconds: number
  readonly oops: number
  readonly warn: number
  readonly hung: number
}

export function readHealth(lines: readonly string[]): Read<Health> {
  return reading(() => {
    const fields = mergedFields(lines)
    return {
      bootId: bootIdOf(fields), taint: countOf(fields, 'taint'), load1: secondsOf(fields, 'load1'), uptimeSeconds: secondsOf(fields, 'uptime'),
      oops: countOf(fields, 'oops'), warn: countOf(fields, 'warn'), hung: countOf(fields, 'hung'),
    }
  })
}
