// Revert and reverse: the way back. Reverse turns a running transition round and leaves a completed one alone;
// revert undoes whatever there is, and ends only when the module is gone.
import { busyWith, ownPatch, isOurs } from './job.js'
import type { KlpContext } from './job.js'
import {
  awaitRelease, blockersStep, conflict, disableStep, factsStep, failed, finalStep, go, helloStep, klogStep, leaseStep, objectsStep,
  patchedOutcome, revertedOutcome, survey, unloadStep, watchStep,
} from './steps.js'
import type { KlpNext, KlpSteps, Turn, Turns } from './steps.js'

/** Writes of `enabled` in one attempt: a write may lose a race with the transition's own end, and then once more. */
const writesMax = 3

/** A module of our name that is off: ours is unloaded, another's is none of our business. */
const ifOurs = (next: string): Turn => (context) => {
  const loaded = context.module ?? ownPatch(context)
  return !loaded || isOurs(context, loaded) || context.touched !== 'no' ? go(next, context) : go('gone', context)
}

const disableIfFree: Turn = (context) => {
  const busy = busyWith(context)
  return busy ? failed(context, 'TRANSITION_BUSY', `${busy.name} is in transition`) : go('disable', context)
}

const gone: Readonly<Pick<Turns, 'ABSENT' | 'INERT' | 'HELD' | 'REGISTERED' | 'OTHER'>> = {
  ABSENT: 'gone', INERT: ifOurs('unload'), REGISTERED: ifOurs('unload'), HELD: awaitRelease('after-disable'), OTHER: conflict,
}

/** The write was answered; by now only the state and the errno together tell what it did. */
const stillOn = (context: KlpContext): KlpNext => {
  const { errno } = context
  const busy = busyWith(context)
  if (busy) return failed(context, 'TRANSITION_BUSY', `${busy.name} is in transition`, 'no')
  if (errno === 'EBUSY') return failed(context, 'ORDER_VIOLATION', 'the kernel refuses to disable it before newer ones', 'no')
  if (errno === 'EPERM' || errno === 'EACCES') return failed(context, 'PERMISSION', `writing enabled: ${errno}`, 'no')
  if (context.writes < writesMax) return go('disable', context)
  return failed(context, 'STILL_ACTIVE', `enabled was written ${context.writes} times, the last answer was ${errno ?? 'success'}`)
}

const afterDisable: Turns = { ...gone, ACTIVE: stillOn, PATCHING: stillOn, UNPATCHING: 'watch' }
const afterWatch: Turns = {
  ...gone, UNPATCHING: 'blockers', PATCHING: 'blockers',
  ACTIVE: (context) => failed(context, 'STILL_ACTIVE', 'it was enabled again while it was being disabled'),
}

/** From a disabled module to its absence; shared with nudge, which may find a revert done. */
export const leavingSteps: KlpSteps = {
  ...survey('after-disable', null, afterDisable),
  disable: disableStep('reverting', 'after-disable'),
  watch: watchStep('reverting', ({ job }) => job.limits.stallAfterMs, 'after-watch'),
  ...survey('after-watch', null, afterWatch),
  unload: unloadStep('unload', 'reverting', 'after-disable'),
  gone: { name: 'gone', phase: null, ask: () => null, read: (context) => go('klog', context) },
  blockers: blockersStep,
  klog: klogStep('unpatching', 'final'),
  final: finalStep(revertedOutcome),
}

const revertFirst: Turns = { ...gone, HELD: awaitRelease('survey'), ACTIVE: disableIfFree, PATCHING: 'disable', UNPATCHING: 'watch' }

export const revertSteps: KlpSteps = {
  hello: helloStep('lease', false),
  lease: leaseStep('facts'),
  facts: factsStep('survey'),
  ...survey('survey', null, revertFirst),
  ...leavingSteps,
}

/** Steps to a `patched` outcome for operations that found the transition over. */
export const foundPatchedSteps: KlpSteps = {
  objects: objectsStep('klog-patched', 'recheck'),
  ...survey('recheck', null, {
    ACTIVE: 'objects', PATCHING: 'blockers', UNPATCHING: 'blockers', OTHER: conflict,
    ABSENT: (context) => failed(context, 'NOT_ACTIVE', 'it went away while it was looked at'),
    INERT: (context) => failed(context, 'NOT_ACTIVE', 'it was disabled while it was looked at'),
    REGISTERED: (context) => failed(context, 'NOT_ACTIVE', 'it was disabled while it was looked at'),
    HELD: (context) => failed(context, 'NOT_ACTIVE', 'it was disabled while it was looked at'),
  }),
  'klog-patched': { ...klogStep('patching', 'final-patched'), name: 'klog-patched' },
  'final-patched': { ...finalStep(patchedOutcome), name: 'final-patched' },
}

export const reverseSteps: KlpSteps = {
  ...revertSteps,
  ...survey('survey', null, { ...revertFirst, ACTIVE: 'objects' }),
  ...foundPatchedSteps,
}
