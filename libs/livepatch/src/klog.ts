// The kernel log's livepatch lines: when a transition started and ended, as the kernel itself stamped it.
import { allFields, reading, secondsOf, textOf } from './reply.js'
import type { Fields, Read } from './reply.js'

/** One line of the kernel log; `atSeconds` since boot, microseconds in the fraction. */
export interface KlogLine { readonly atSeconds: number; readonly text: string }

export type Direction = 'patching' | 'unpatching'

export interface TransitionStamp {
  readonly module: string
  readonly direction: Direction
  readonly startedAtSeconds: number
  /** null while it runs. */
  readonly endedAtSeconds: number | null
  /** It ended by being turned round. */
  readonly reversed: boolean
  /** The kernel had to signal remaining tasks. */
  readonly signalled: boolean
}

export function klogLinesOf(fields: readonly Fields[]): KlogLine[] {
  return fields.filter((each) => each.tag === 'klog').map((each) => ({ atSeconds: secondsOf(each, 'at'), text: textOf(each, 'text') }))
}

/** The reply to `klog`. */
export function readKlog(lines: readonly string[]): Read<KlogLine[]> {
  return reading(() => klogLinesOf(allFields(lines)))
}

const started = /^livepatch: '([A-Za-z0-9_]{1,55})': starting (patching|unpatching) transition$/
const completed = /^livepatch: '([A-Za-z0-9_]{1,55})': (patching|unpatching) complete$/

/** Every transition that began within these lines, in order. A reversed one ends where its reverse starts. */
export function transitionsOf(lines: readonly KlogLine[]): TransitionStamp[] {
  const stamps: TransitionStamp[] = []
  // At most one transition runs in a kernel, so the newest is the one that a line speaks of.
  const amend = (change: Partial<TransitionStamp>) => { stamps.push({ ...stamps.pop()!, ...change }) }
  for (const { atSeconds, text } of lines) {
    const begin = started.exec(text)
    const end = completed.exec(text)
    const newest = stamps.at(-1)
    if (begin) {
      if (newest && newest.endedAtSeconds === null) amend({ endedAtSeconds: atSeconds, reversed: true })
      stamps.push({ module: begin[1]!, direction: begin[2] as Direction, startedAtSeconds: atSeconds, endedAtSeconds: null, reversed: false, signalled: false })
    } else if (end && newest && newest.endedAtSeconds === null && newest.module === end[1] && newest.direction === end[2]) {
      amend({ endedAtSeconds: atSeconds })
    } else if (text === 'livepatch: signaling remaining tasks' && newest?.endedAtSeconds === null) {
      amend({ signalled: true })
    }
  }
  return stamps
}

/** The module's newest transition in a direction, or null. */
export function newestTransition(lines: readonly KlogLine[], module: string, direction: Direction): TransitionStamp | null {
  return transitionsOf(lines).findLast((stamp) => stamp.module === module && stamp.direction === direction) ?? null
}

/**
 * How long the module's newest finished transition took, milliseconds, as the kernel logged it.
 * Null when the lines do not show both ends: a missing measure is not 0.
 */
export function transitionMsOf(lines: readonly KlogLine[], module: string, direction: Direction): number | null {
  const stamp = newestTransition(lines, module, direction)
  if (!stamp || stamp.endedAtSeconds === null || stamp.reversed) return null
  return Math.max(0, Math.round((stamp.endedAtSeconds - stamp.startedAtSeconds) * 1000))
}

/** Lines that tell of a callback or an object which refused. */
export function callbackFailures(lines: readonly KlogLine[]): KlogLine[] {
  return lines.filter(({ text }) => /^livepatch: (?:pre-patch callback failed|failed to (?:enable patch|patch object))|^livepatch: patch '.*' failed for module/.test(text))
}
