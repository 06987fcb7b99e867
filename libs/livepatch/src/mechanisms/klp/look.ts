// Look: read only. Is the transition over, is the host still well? Nudge: wake the blockers first.
import { readHealth, readNudge } from '../../answers.js'
import { newestTransition, readKlog } from '../../klog.js'
import type { KlpOutcome } from '../../outcome.js'
import { readingOf } from './job.js'
import type { KlpContext } from './job.js'
import { foundPatchedSteps, leavingSteps } from './revert.js'
import { answered, blockersStep, conflict, done, factsStep, failed, go, helloStep, leaseStep, refused, request, survey, watchStep } from './steps.js'
import type { KlpNext, KlpStep, KlpSteps, Turn, Turns } from './steps.js'

/** Long enough for the tasks to be counted and for one of the kernel's own retries (about 1 s). */
const glanceMs = 2_000
/** A woken task moves at once; the kernel looks every second. */
const nudgeWatchMs = 5_000

const reverting = (context: KlpContext) => context.job.intent === 'revert'

const unhealthy = (context: KlpContext, code: string, detail: string): KlpNext =>
  done({ kind: 'unhealthy', reading: readingOf(context), code, detail }, context)

/** The patch is off. For a revert on its way that is half the road, or all of it. */
const off = (state: string): Turn => (context) => {
  if (reverting(context)) {
    if (state === 'ABSENT') return go('gone', context)
    return failed(context, 'IN_USE', `${context.job.module} is disabled and still loaded`, 'yes')
  }
  if (context.job.baking) return unhealthy(context, 'NOT_ACTIVE', `${context.job.module} is ${state}`)
  return failed(context, 'NOT_ACTIVE', `${context.job.module} is ${state}`, state === 'ABSENT' ? 'no' : 'yes')
}

const offTurns = { ABSENT: off('ABSENT'), INERT: off('INERT'), REGISTERED: off('REGISTERED'), HELD: off('disabled and still referenced'), OTHER: conflict }

const on: Turn = (context) => {
  if (reverting(context)) return failed(context, 'STILL_ACTIVE', `${context.job.module} is active`, 'yes')
  return go(context.job.baking ? 'bake-klog' : 'objects', context)
}

const lookFirst: Turns = { ...offTurns, ACTIVE: on, PATCHING: 'watch', UNPATCHING: 'watch' }
const lookAgain: Turns = { ...offTurns, ACTIVE: on, PATCHING: 'blockers', UNPATCHING: 'blockers' }

const bakeKlog: KlpStep = {
  name: 'bake-klog', phase: null,
  ask: () => request('klog', ['0']),
  read: (context, reply) => answered(context, reply, readKlog, (klog) => go('health', { ...context, klog })),
}

/** From the start of our transition; 0 when the log no longer shows it, which may tell of older trouble, but hides none. */
const since = (context: KlpContext) => newestTransition(context.klog, context.job.module, 'patching')?.startedAtSeconds ?? 0

// Bits of /proc/sys/kernel/tainted: 7 D (the kernel died a little), 9 W (it warned).
const taintDied = 128
const taintWarned = 512

const healthStep: KlpStep = {
  name: 'health', phase: null,
  ask: (context) => request('health', [String(since(context))]),
  read: (context, reply) => answered(context, reply, readHealth, (health) => {
    const bootIdBefore = context.greeting!.bootId
    if (health.bootId !== bootIdBefore) return done({ kind: 'rebooted', bootIdBefore, bootIdAfter: health.bootId, touched: 'yes' }, context)
    const before = context.job.taintBefore
    const fresh = before === null || before === undefined ? 0 : health.taint & ~before
    if (health.oops > 0 || (fresh & taintDied) !== 0) return unhealthy(context, 'KERNEL_OOPS', `${health.oops} oops in the kernel log, taint ${health.taint}`)
    if (health.warn > 0 || (fresh & taintWarned) !== 0) return unhealthy(context, 'KERNEL_WARNING', `${health.warn} warnings in the kernel log, taint ${health.taint}`)
    if (health.hung > 0) return unhealthy(context, 'HUNG_TASKS', `${health.hung} hung tasks in the kernel log`)
    const healthy: KlpOutcome = { kind: 'healthy', reading: { ...readingOf(context), taint: health.taint } }
    return done(healthy, context)
  }),
}

export const lookSteps: KlpSteps = {
  hello: helloStep('facts', true),
  facts: factsStep('survey'),
  ...survey('survey', null, lookFirst),
  watch: watchStep(null, () => glanceMs, 'after-watch'),
  ...survey('after-watch', null, lookAgain),
  blockers: blockersStep,
  ...foundPatchedSteps,
  'bake-klog': bakeKlog,
  health: healthStep,
  gone: leavingSteps['gone']!, klog: leavingSteps['klog']!, final: leavingSteps['final']!,
}

const nudgeStep = (method: 'signal' | 'stopcont', otherwise: string | null): KlpStep => ({
  name: `nudge-${method}`, phase: null,
  ask: ({ job }) => request('nudge', [job.module, method]),
  read: (context, reply) => {
    // No signal file, as on every kernel but 4.15 to 5.0.
    if (reply && !reply.ok && otherwise !== null && (reply.code === 'NOT_SUPPORTED' || reply.code === 'NO_FILE')) return go(otherwise, context)
    // It ended before it was nudged.
    if (reply && !reply.ok && reply.code === 'NO_MODULE') return go('after-watch', context)
    if (reply && !reply.ok) return refused(context, reply)
    return answered(context, reply, readNudge, () => go('watch', { ...context, touched: 'yes' }))
  },
})

// A revert that a nudge lets through is finished in the same attempt.
const nudgedOff: Pick<Turns, 'ABSENT' | 'INERT' | 'REGISTERED' | 'HELD'> = {
  ABSENT: offTurns.ABSENT,
  INERT: (context) => (reverting(context) ? go('unload', context) : turnOff(context, 'INERT')),
  REGISTERED: (context) => (reverting(context) ? go('unload', context) : turnOff(context, 'REGISTERED')),
  HELD: (context) => (reverting(context) ? go('after-disable', { ...context, pausing: true }) : turnOff(context, 'HELD')),
}
const turnOff = (context: KlpContext, state: 'INERT' | 'REGISTERED' | 'HELD'): KlpNext => {
  const where = offTurns[state]
  return typeof where === 'string' ? go(where, context) : where(context)
}

export const nudgeSteps: KlpSteps = {
  ...leavingSteps,
  ...foundPatchedSteps,
  hello: helloStep('lease', true),
  lease: leaseStep('facts'),
  facts: factsStep('survey'),
  ...survey('survey', null, { ...offTurns, ...nudgedOff, ACTIVE: on, PATCHING: 'nudge-signal', UNPATCHING: 'nudge-signal' }),
  'nudge-signal': nudgeStep('signal', 'nudge-stopcont'),
  'nudge-stopcont': nudgeStep('stopcont', null),
  watch: watchStep(null, () => nudgeWatchMs, 'after-watch'),
  ...survey('after-watch', null, { ...offTurns, ...nudgedOff, ACTIVE: on, PATCHING: 'blockers', UNPATCHING: 'blockers' }),
  'bake-klog': bakeKlog,
  health: healthStep,
}
