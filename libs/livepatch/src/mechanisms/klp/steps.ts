// The steps that the klp operations are made of. Each asks one question and believes only the answer; where an
// operation turns next is its own table of turns.
import { readBlockers, readCommand, readWatch, readWatchLine, readWrite } from '../../answers.js'
import type { GateReply, GateRequest, Next, Phase, Progress, Step } from '../../driver.js'
import { isErrorCode } from '../../errors.js'
import { readFacts, readHello, readModule, readPatches } from '../../facts.js'
import { readKlog, transitionMsOf } from '../../klog.js'
import type { Direction } from '../../klog.js'
import type { KlpOutcome, Touched } from '../../outcome.js'
import type { Read } from '../../reply.js'
import { sanitise } from '../../sanitise.js'
import { ownPatch, readingOf, shownByModule, shownByPatches, tasksOf } from './job.js'
import type { KlpContext, Shown } from './job.js'

export type KlpNext = Next<KlpContext, KlpOutcome>
export type KlpStep = Step<KlpContext, KlpOutcome>
export type KlpSteps = Readonly<Record<string, KlpStep>>
/** Where to go from a reading: a step's name, or a function for what needs a closer look. */
export type Turn = string | ((context: KlpContext) => KlpNext)
export type Turns = Readonly<Record<Shown, Turn>>

/** A reply that reads a few files, also on a host with a hundred thousand threads or under emulation. */
export const quickMs = 30_000
/** init_module waits for other loads and runs the build's own init. */
export const loadMs = 120_000
/** 30 s and a second for every 100 kB: a link of 1 Mbit/s. */
export const stageMs = (sizeBytes: number) => 30_000 + Math.ceil(sizeBytes / 100_000) * 1000
/** Longest watch that one request may ask for, seconds: a stall holds no connection. */
const watchSecondsMax = 600
/** A reference count falls asynchronously; kpatch waits as long (MODULE_REF_WAIT). */
export const refWaitMs = 15_000
/** Between two looks at a reference count. */
export const refPauseMs = 500
/** Asked for when a transition is past its limit. */
const blockersAsked = 50

export const request = (verb: string, args: readonly string[] = [], deadlineMs: number = quickMs): GateRequest => ({ verb, args, deadlineMs })

export const go = (name: string, context: KlpContext): KlpNext => ({ go: name, context })
export const done = (outcome: KlpOutcome, context?: KlpContext): KlpNext => ({ done: outcome, context })

export function turn(where: Turn, context: KlpContext): KlpNext {
  return typeof where === 'string' ? go(where, context) : where(context)
}

export function failed(context: KlpContext, code: string, detail: string, touched: Touched = context.touched): KlpNext {
  return done({ kind: 'failed', code, detail: sanitise(detail, 400), touched }, context)
}

/** The gate refused. Its code is one of the table, or the host talks nonsense. */
export function refused(context: KlpContext, reply: GateReply & { ok: false }): KlpNext {
  if (reply.code === 'WRONG_KERNEL') return failed(context, 'KERNEL_MISMATCH', reply.detail)
  return isErrorCode(reply.code) ? failed(context, reply.code, reply.detail) : failed(context, 'PROTOCOL', `the gate refused with ${reply.code} ${reply.detail}`)
}

/** The reply, read, or the failure that it is. */
export function answered<T>(context: KlpContext, reply: GateReply | null, read: (lines: readonly string[]) => Read<T>, then: (value: T) => KlpNext): KlpNext {
  if (!reply) throw new Error('a step that asks was given no reply')
  if (!reply.ok) return refused(context, reply)
  const value = read(reply.lines)
  return value.ok ? then(value.value) : failed(context, 'PROTOCOL', value.detail)
}

const rebooted = (context: KlpContext, now: string, touched: Touched): KlpNext =>
  done({ kind: 'rebooted', bootIdBefore: context.job.bootIdBefore ?? context.greeting?.bootId ?? '', bootIdAfter: now, touched }, context)

/** `noticeBoot`: end here when an earlier attempt touched the kernel and the host has booted since. */
export const helloStep = (next: string, noticeBoot: boolean): KlpStep => ({
  name: 'hello', phase: null,
  ask: () => request('hello', ['1']),
  read: (context, reply) => answered(context, reply, readHello, (greeting) => {
    const { job } = context
    const known = { ...context, greeting }
    if (noticeBoot && job.touched && job.bootIdBefore !== null && job.bootIdBefore !== greeting.bootId) return rebooted(known, greeting.bootId, 'yes')
    return go(next, known)
  }),
})

export const leaseStep = (next: string): KlpStep => ({
  name: 'lease', phase: null,
  ask: ({ job: { lease } }) => request('lease', [lease.hostId, lease.token, lease.attemptId]),
  read: (context, reply) => (reply?.ok ? go(next, context) : answered(context, reply, () => ({ ok: true, value: null }), () => go(next, context))),
})

export const factsStep = (next: Turn): KlpStep => ({
  name: 'facts', phase: null,
  ask: () => request('facts'),
  read: (context, reply) => answered(context, reply, readFacts, (facts) => turn(next, { ...context, facts })),
})

/** Reads the livepatches, then /sys/module when they do not tell, and turns by what our module is. Gives two steps. */
export function survey(name: string, phase: Phase | null, turns: Turns): KlpSteps {
  const bare = `${name}-module`
  const pauseMs = (context: KlpContext) => (context.pausing ? refPauseMs : 0)
  return {
    [name]: {
      name, phase, pauseMs,
      ask: () => request('patches'),
      read: (context, reply) => answered(context, reply, readPatches, (patches) => {
        const known = { ...context, patches, module: undefined, pausing: false }
        const shown = shownByPatches(known)
        return shown === null ? go(bare, known) : turn(turns[shown], known)
      }),
    },
    [bare]: {
      name: bare, phase,
      ask: ({ job }) => request('module', [job.module]),
      read: (context, reply) => {
        if (reply && !reply.ok && reply.code === 'NO_MODULE') return turn(turns.ABSENT, { ...context, module: null })
        return answered(context, reply, (lines) => readModule(lines, context.job.module), (module) => {
          const known = { ...context, module }
          return turn(turns[shownByModule(known)], known)
        })
      },
    },
  }
}

/** HELD: wait for the kernel to let go and read `again`; past the limit it never will. */
export const awaitRelease = (again: string): Turn => (context) => {
  if (context.waitedMs < refWaitMs) return go(again, { ...context, waitedMs: context.waitedMs + refPauseMs, pausing: true })
  const { module } = context
  const live = module?.state === null || module?.state === 'live'
  return failed(context, live ? 'PINNED' : 'IN_USE', `${context.job.module} is ${module?.state ?? 'loaded'} with ${module?.refcnt ?? '?'} references after ${refWaitMs / 1000} s`)
}

/** Unloads our module, which is off; whether it worked is for the next reading to say. */
export const unloadStep = (name: string, phase: Phase, next: string): KlpStep => ({
  name, phase,
  ask: ({ job }) => request('unload', [job.module], loadMs),
  read: (context, reply) => {
    if (reply && !reply.ok && reply.code === 'NO_MODULE') return go(next, context)
    return answered(context, reply, readCommand, ({ exit, text }) => {
      // Counted on success too: a host whose rmmod succeeds for ever is not to be asked for ever.
      const waitedMs = context.waitedMs + refPauseMs
      return waitedMs > refWaitMs ? failed(context, 'IN_USE', text, 'yes') : go(next, { ...context, touched: 'yes', waitedMs, pausing: exit !== 0 })
    })
  },
})

export const disableStep = (phase: Phase, next: string): KlpStep => ({
  name: 'disable', phase,
  ask: ({ job }) => request('write', [job.module, 'enabled', '0']),
  read: (context, reply) => answered(context, reply, readWrite, (errno) => go(next, { ...context, errno, touched: 'yes', writes: context.writes + 1 })),
})

const watchProgress = (_context: KlpContext, line: string): Progress | null => {
  const read = readWatchLine(line)
  if (!read.ok || !read.value) return null
  const { moved, all, transitionAgeMs } = read.value
  return { moved, all, transitionAgeMs }
}

/** Streams until the transition ends or `limitMs` passed. */
export const watchStep = (phase: Phase | null, limitMs: (context: KlpContext) => number, next: string): KlpStep => ({
  name: 'watch', phase,
  ask: (context) => {
    const seconds = Math.min(watchSecondsMax, Math.max(1, Math.ceil(limitMs(context) / 1000)))
    return request('watch', [context.job.module, String(seconds)], seconds * 1000 + quickMs)
  },
  read: (context, reply) => {
    // The folder went away between two requests: the next reading says what that means.
    if (reply && !reply.ok && reply.code === 'NO_MODULE') return go(next, context)
    return answered(context, reply, readWatch, (watched) => go(next, { ...context, watched: watched ?? context.watched }))
  },
  progress: watchProgress,
})

/** The stalled outcome, with its blockers. */
export const blockersStep: KlpStep = {
  name: 'blockers', phase: null,
  ask: ({ job }) => request('blockers', [job.module, String(blockersAsked)]),
  read: (context, reply) => {
    // It ended while we asked who held it: nobody does, and the next look will see that.
    const lines = reply && !reply.ok && reply.code === 'NO_MODULE' ? { ok: true as const, lines: [] } : reply
    return answered(context, lines, readBlockers, (blockers) =>
      done({ kind: 'stalled', reading: readingOf(context), tasks: tasksOf(context), blockers, transitionAgeMs: context.watched?.transitionAgeMs ?? 0 }, context))
  },
}

/** Every object must be patched, or its module not loaded: one question for each that is not. */
export const objectsStep = (next: string, again: string): KlpStep => ({
  name: 'objects', phase: null,
  ask: (context) => (unpatchedOf(context)[0] === undefined ? null : request('module', [unpatchedOf(context)[0]!])),
  read: (context, reply) => {
    const [object, ...queue] = unpatchedOf(context)
    if (object === undefined) return go(next, { ...context, queue: leftoversOf(context) })
    const absent = reply && !reply.ok && reply.code === 'NO_MODULE'
    if (absent) return queue.length === 0 ? go(next, { ...context, queue: leftoversOf(context) }) : go('objects', { ...context, queue })
    return answered(context, reply, (lines) => readModule(lines, object), (module) => {
      // A module in the middle of loading is patched before its own init runs; one that came between two readings deserves a second.
      if (!context.rechecked || (module.state !== null && module.state !== 'live')) {
        return context.rechecked ? go('objects', { ...context, queue }) : go(again, { ...context, rechecked: true, queue: [] })
      }
      return failed(context, 'OBJECT_UNPATCHED', `${object} is loaded and not patched`, 'yes')
    })
  },
})

const unpatchedOf = (context: KlpContext): readonly string[] =>
  context.queue.length > 0 ? context.queue : (ownPatch(context)?.objects ?? []).filter((object) => object.patched === false).map((object) => object.name)

/** Livepatches that were there before our load and have no folder any more: ours replaced them. */
const leftoversOf = (context: KlpContext): readonly string[] => (context.load === null
  ? [] : context.before.filter((name) => name !== context.job.module && !context.patches.some((patch) => patch.name === name)))

/** Unloads what was replaced, one after the other. A leftover does no harm, so a refusal is passed over. */
export function cleanupSteps(next: string): KlpSteps {
  const rest = (context: KlpContext) => go('cleanup', { ...context, queue: context.queue.slice(1), waitedMs: 0 })
  /** The kernel lets go of replaced modules from a work queue: normally at once. */
  const patienceMs = 3 * refPauseMs
  return {
    cleanup: {
      name: 'cleanup', phase: null,
      pauseMs: (context) => (context.waitedMs > 0 ? refPauseMs : 0),
      ask: ({ queue }) => (queue[0] === undefined ? null : request('module', [queue[0]])),
      read: (context, reply) => {
        const [name] = context.queue
        if (name === undefined) return go(next, context)
        if (!reply?.ok) return rest(context)
        const module = readModule(reply.lines, name)
        if (!module.ok || (module.value.state !== null && module.value.state !== 'live')) return rest(context)
        if (module.value.refcnt === 0) return go('cleanup-unload', context)
        return context.waitedMs < patienceMs ? go('cleanup', { ...context, waitedMs: context.waitedMs + refPauseMs }) : rest(context)
      },
    },
    'cleanup-unload': {
      name: 'cleanup-unload', phase: null,
      ask: ({ queue }) => request('unload', [queue[0]!], loadMs),
      read: (context) => rest(context),
    },
  }
}

/** Completes what the load's own answer showed of the kernel log; skipped when that shows both ends already. */
export const klogStep = (direction: Direction, next: string): KlpStep => ({
  name: 'klog', phase: null,
  ask: (context) => (transitionMsOf(context.klog, context.job.module, direction) === null ? request('klog', [String(context.klog.at(-1)?.atSeconds ?? 0)]) : null),
  read: (context, reply) => {
    // A host that does not let its log be read is patched all the same: the time stays unknown.
    if (!reply?.ok) return go(next, context)
    const lines = readKlog(reply.lines)
    return go(next, lines.ok ? { ...context, klog: [...context.klog, ...lines.value] } : context)
  },
})

/** The last reading: still the same boot, and then the outcome. */
export const finalStep = (outcome: (context: KlpContext) => KlpOutcome): KlpStep => ({
  name: 'final', phase: null,
  ask: () => request('facts'),
  read: (context, reply) => answered(context, reply, readFacts, (facts) => {
    const known = { ...context, facts }
    return facts.bootId === context.greeting?.bootId ? done(outcome(known), known) : rebooted(known, facts.bootId, known.touched)
  }),
})

export const patchedOutcome = (context: KlpContext): KlpOutcome => ({
  kind: 'patched', reading: readingOf(context), transitionMs: transitionMsOf(context.klog, context.job.module, 'patching'), already: context.already,
})

export const revertedOutcome = (context: KlpContext): KlpOutcome => ({
  kind: 'reverted', reading: readingOf(context), transitionMs: transitionMsOf(context.klog, context.job.module, 'unpatching'), already: context.touched === 'no',
})

export const conflict: Turn = (context) => {
  const loaded = ownPatch(context)
  return failed(context, 'ALREADY_LOADED', `${context.job.module} is loaded with srcversion ${loaded?.srcversion ?? '-'} and build ${loaded?.build ?? '-'}`)
}
