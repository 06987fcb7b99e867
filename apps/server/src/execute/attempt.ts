// One attempt: claim it, drive the host through its gate, commit what came of it. Decides nothing (law 1).
import { type AskingChannel, drive, type DriveHooks, type KlpJob, klpDrivers, type KlpOutcome, type Phase, type Touched } from '@uptide/livepatch'
import type { AttemptKind, TargetState } from '@uptide/rollout'
import type { AttemptBrief, HostFacts, Store } from '@uptide/store'
import { ChannelError } from '@uptide/transport'
import { reached } from '../fail-points.js'
import type { Artefacts } from './artefacts.js'
import type { GroupCommit } from './group-commit.js'
import type { Leases } from './leases.js'
import type { ProgressSampler } from './progress.js'
import type { Reach } from './reach.js'

export interface AttemptParts {
  readonly store: Store
  readonly reach: Reach
  readonly artefacts: Artefacts
  readonly reports: GroupCommit
  readonly progress: ProgressSampler
  readonly leases: Leases
  ringRollout(id: string): Promise<void>
  readonly log: { debug(details: object, message: string): void; warn(details: object, message: string): void }
}

/** Only an apply walks through the phases; the other kinds work on a target that stands where it stands. */
const phasesOf: Readonly<Record<AttemptKind, readonly Phase[]>> = {
  apply: ['checking', 'staging', 'loading', 'transitioning'], look: [], nudge: [], reverse: ['reverting'], revert: ['reverting'],
}

const jobOf = (brief: AttemptBrief): KlpJob => ({
  module: brief.build.moduleName, sha256: brief.build.sha256, sizeBytes: brief.build.sizeBytes,
  kernelRelease: brief.build.kernelRelease, kernelBuildId: brief.build.kernelBuildId, srcversion: brief.build.srcversion, moduleBuildId: brief.build.moduleBuildId,
  objects: brief.build.objects, bootIdBefore: brief.target.bootIdBefore, touched: brief.target.touched,
  lease: { hostId: brief.host.id, token: brief.fencingToken.toString(), attemptId: brief.attemptId },
  limits: { stallAfterMs: brief.rollout.strategy.stall.afterMs },
  intent: brief.target.state === 'reverting' ? 'revert' : 'apply', baking: brief.target.state === 'baking', taintBefore: brief.host.taint,
})

export async function runAttempt(parts: AttemptParts, attemptId: string, signal: AbortSignal): Promise<void> {
  const claim = await parts.store.claimAttempt(attemptId, parts.leases.owner, parts.leases.leaseMs)
  if (!claim.ok) { parts.log.debug({ attemptId, why: claim.why }, 'not claimed'); return }
  reached('claim')
  const { brief } = claim
  const stop = AbortSignal.any([signal, parts.leases.hold(attemptId)])
  try {
    const end = await driveHost(parts, brief, stop)
    if (end === null) { parts.log.warn({ attemptId, host: brief.host.name }, 'fenced off: the attempt belongs to another worker now'); return }
    reached('end-before')
    const held = await parts.reports.write({ at: 'end', attemptId, fencingToken: brief.fencingToken, ...end })
    reached('end-after')
    if (!held) parts.log.warn({ attemptId, host: brief.host.name }, 'the report came too late: the lease had expired')
  } finally {
    parts.leases.release(attemptId)
    await parts.ringRollout(brief.rollout.id)
    reached('attempt-ring')
  }
}

interface End { readonly outcome: KlpOutcome; readonly step: string; readonly facts?: HostFacts }

async function driveHost(parts: AttemptParts, brief: AttemptBrief, stop: AbortSignal): Promise<End | null> {
  let channel
  try { channel = await parts.reach.open(brief.host, stop) } catch (error) {
    if (!(error instanceof ChannelError)) throw error
    return { outcome: { kind: 'failed', code: error.fault, detail: error.message, touched: 'no' }, step: 'connect' }
  }
  reached('channel-open')
  try {
    const done = await drive(klpDrivers[brief.kind], jobOf(brief), watched(channel), hooks(parts, brief, stop))
    if (!done.ended) return null
    return { outcome: done.outcome, step: done.step, ...(done.facts ? { facts: done.facts } : {}) }
  } finally { channel.close() }
}

/** The fail-points around every request to the host. */
const watched = (channel: AskingChannel): AskingChannel => ({
  ask: async (request, onLine) => {
    reached('step-before', request.verb)
    const reply = await channel.ask(request, onLine)
    reached('step-after', request.verb)
    return reply
  },
})

/** Verbs after which our module may be in the kernel: committed as intent before they are sent. */
const touches: Readonly<Record<Touched, boolean>> = { no: false, yes: true, unknown: true }

function hooks(parts: AttemptParts, brief: AttemptBrief, stop: AbortSignal): DriveHooks {
  let state: TargetState = brief.target.state
  let touched = touches[brief.target.touched ? 'yes' : 'no']
  const phases = phasesOf[brief.kind]
  return {
    before: async (step, phase) => {
      if (stop.aborted) return false
      const load = step === 'load'
      if (!phases.includes(phase) || (phase === state && !(load && !touched))) return true
      reached('phase-before', step)
      const held = await parts.reports.write({ at: 'phase', attemptId: brief.attemptId, fencingToken: brief.fencingToken, to: phase, step, ...(load ? { touched: true } : {}) })
      reached('phase-after', step)
      state = phase
      touched ||= load
      return held && !stop.aborted
    },
    progress: (progress) => { parts.progress.note(brief.target.id, progress) },
    body: (sha256) => parts.artefacts.bytes(sha256),
    pause: (ms) => new Promise((done) => {
      const timer = setTimeout(done, ms)
      stop.addEventListener('abort', () => { clearTimeout(timer); done() }, { once: true })
    }),
  }
}
