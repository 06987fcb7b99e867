// Apply: converge to the build being active. It starts from what the kernel says, so it is safe to repeat; what it
// reports in the end is a reading, never an exit code.
import { readCommand } from '../../answers.js'
import { loadErrorOf } from '../../load-error.js'
import { reading, flagOrNull, mergedFields, fault } from '../../reply.js'
import { busyWith } from './job.js'
import type { KlpContext } from './job.js'
import {
  answered, awaitRelease, blockersStep, cleanupSteps, conflict, done, factsStep, failed, finalStep, go, helloStep, klogStep, leaseStep,
  loadMs, objectsStep, patchedOutcome, request, stageMs, survey, unloadStep, watchStep,
} from './steps.js'
import type { KlpNext, KlpStep, KlpSteps, Turn, Turns } from './steps.js'

/** What speaks against even trying, from the facts alone. Nothing has been touched. */
const preflight: Turn = (context) => {
  const { job, facts } = context
  if (!facts) throw new Error('preflight before the facts')
  const unfit = (code: string, detail: string): KlpNext =>
    (job.touched ? failed(context, code, detail) : done({ kind: 'skipped', code, detail }, context))
  if (facts.release !== job.kernelRelease) return unfit('KERNEL_MISMATCH', `the host runs ${facts.release}, the build is for ${job.kernelRelease}`)
  if (facts.build !== null && job.kernelBuildId !== null && facts.build !== job.kernelBuildId.toLowerCase()) {
    return unfit('KERNEL_MISMATCH', `the host runs build ${facts.build} of ${facts.release}, the build is for ${job.kernelBuildId}`)
  }
  if (facts.mechanism !== 'klp-consistency') return unfit('NOT_SUPPORTED', `its mechanism is ${facts.mechanism}`)
  if (facts.modulesDisabled) return unfit('PERMISSION', 'kernel.modules_disabled is 1')
  if (job.signed === false && facts.sigEnforce) return unfit('SIGNATURE_REJECTED', 'the host enforces module signatures and the build has none')
  if (job.signed === false && facts.lockdown !== null && facts.lockdown !== 'none') return unfit('LOCKDOWN', `the host is locked down (${facts.lockdown}) and the build has no signature`)
  return go('survey', context)
}

const whenFree = (next: string): Turn => (context) => {
  const busy = busyWith(context)
  return busy ? failed(context, 'TRANSITION_BUSY', `${busy.name} is in transition`) : go(next, context)
}

const atFirst: Turns = {
  ABSENT: whenFree('staged'),
  // ≥5.1 never re-enables by a write, and before that a fresh load does as well: unload, then load.
  INERT: whenFree('unload-leftover'),
  REGISTERED: whenFree('unload-leftover'),
  HELD: awaitRelease('survey'),
  ACTIVE: (context) => go('objects', { ...context, already: true }),
  PATCHING: 'watch',
  UNPATCHING: (context) => failed(context, 'TRANSITION_BUSY', `${context.job.module} is being disabled`),
  OTHER: conflict,
}

const stagedStep: KlpStep = {
  name: 'staged', phase: null,
  ask: ({ job }) => request('staged', [job.sha256]),
  read: (context, reply) => answered(context, reply, (lines) => reading(() => flagOrNull(mergedFields(lines), 'staged') ?? fault('staged= is missing')),
    (there) => go(there ? 'load' : 'stage', context)),
}

// The body is put in by the runner (run.ts): the driver never holds an artefact's bytes.
const stageStep: KlpStep = {
  name: 'stage', phase: 'staging',
  ask: ({ job }) => request('stage', [job.sha256, String(job.sizeBytes)], stageMs(job.sizeBytes)),
  read: (context, reply) => answered(context, reply, () => ({ ok: true, value: null }), () => go('load', context)),
}

const loadStep: KlpStep = {
  name: 'load', phase: 'loading',
  ask: ({ job }) => request('load', [job.module, job.sha256, job.kernelRelease, job.kernelBuildId ?? '-'], loadMs),
  read: (context, reply) => {
    const before = context.patches.map((patch) => patch.name)
    return answered(context, reply, readCommand, (load) => go('after-load', { ...context, before, load, klog: load.klog, touched: 'yes', waitedMs: 0 }))
  },
}

/** insmod came back and the kernel has no folder for our module. */
const notThere = (context: KlpContext): KlpNext => {
  const load = context.load!
  const { job, module } = context
  if (load.exit !== 0) {
    const verdict = loadErrorOf({ module: job.module, exit: load.exit, text: load.text, klog: load.klog.map((line) => line.text) })
    // The kernel undoes a failed load completely: absent is proof that nothing of ours stayed.
    return failed(context, verdict.code, verdict.detail, module === null ? 'no' : 'unknown')
  }
  if (load.klog.some((line) => line.text === `livepatch: '${job.module}': unpatching complete`)) return failed(context, 'REVERSED', 'it was disabled as soon as it was enabled')
  if (module === null) return failed(context, 'UNKNOWN_STATE', 'insmod succeeded and the module is not there', 'no')
  return failed(context, 'NOT_A_LIVEPATCH', 'the module is loaded and patches nothing')
}

const afterLoad: Turns = {
  ABSENT: notThere, INERT: notThere, HELD: notThere, REGISTERED: notThere,
  ACTIVE: 'objects', PATCHING: 'watch', UNPATCHING: 'watch', OTHER: conflict,
}

const turnedRound = (context: KlpContext): KlpNext =>
  (context.load && context.load.exit !== 0 ? notThere(context) : failed(context, 'REVERSED', 'the transition ended, and the patch is not active'))

const afterWatch: Turns = {
  ABSENT: turnedRound, INERT: turnedRound, HELD: turnedRound, REGISTERED: turnedRound,
  ACTIVE: 'objects', PATCHING: 'blockers', UNPATCHING: 'blockers', OTHER: conflict,
}

export const applySteps: KlpSteps = {
  hello: helloStep('lease', true),
  lease: leaseStep('facts'),
  facts: factsStep(preflight),
  ...survey('survey', null, atFirst),
  'unload-leftover': unloadStep('unload-leftover', 'checking', 'survey'),
  staged: stagedStep,
  stage: stageStep,
  load: loadStep,
  ...survey('after-load', null, afterLoad),
  watch: watchStep('transitioning', ({ job }) => job.limits.stallAfterMs, 'after-watch'),
  ...survey('after-watch', null, afterWatch),
  blockers: blockersStep,
  objects: objectsStep('cleanup', 'after-watch'),
  ...cleanupSteps('klog'),
  klog: klogStep('patching', 'final'),
  final: finalStep(patchedOutcome),
}
