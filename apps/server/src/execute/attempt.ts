// One attempt: claim it, drive the host through its gate, commit what came of it. Decides nothing (law 1).
import { type AskingChannel, drive, type DriveHooks, type KlpJob, klpDrivers, type KlpOutcome, type Phase, readHello, sanitise } from '@uptide/livepatch'
import type { AttemptKind, TargetState } from '@uptide/rollout'
import type { AttemptBrief, HostFacts, Report, Store } from '@uptide/store'
import { ChannelError, type GateChannel } from '@uptide/transport'
import { reached } from '../fail-points.js'
import type { Artefacts } from './artefacts.js'
import type { GroupCommit } from './group-commit.js'
import type { Leases } from './leases.js'
import type { ProgressSampler } from './progress.js'
import { CredentialUnusable, type Reach } from './reach.js'

export interface AttemptParts {
  readonly store: Pick<Store, 'claimAttempt'>
  readonly reach: Pick<Reach, 'open'>
  readonly artefacts: Pick<Artefacts, 'bytes'>
  readonly reports: GroupCommit
  readonly progress: Pick<ProgressSampler, 'note'>
  readonly leases: Leases
  ringRollout(id: string): Promise<void>
  readonly log: { debug(details: object, message: string): void; warn(details: object, message: string): void; error(details: object, message: string): void }
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

interface End { readonly outcome: KlpOutcome; readonly step: string; readonly facts?: HostFacts }

/** One attempt under way. */
interface Run {
  readonly parts: AttemptParts
  readonly brief: AttemptBrief
  readonly stop: AbortSignal
  /** What the host said of its boot, before anything was done to it. */
  bootId: string | null
  /** A load was announced; from then on our module may be in the kernel. */
  touched: boolean
  /** What one of our own parts threw, which says nothing about the host. */
  ours: unknown
}

export async function runAttempt(parts: AttemptParts, attemptId: string, signal: AbortSignal): Promise<void> {
  const claim = await parts.store.claimAttempt(attemptId, parts.leases.owner, parts.leases.leaseMs)
  if (!claim.ok) {
    // The queue may be rung by others: an id that nobody ordered is nothing to us.
    if (claim.why === 'unknown-attempt') parts.log.warn({ attemptId }, 'rung for an attempt that does not exist')
    else parts.log.debug({ attemptId, why: claim.why }, 'not claimed')
    return
  }
  reached('claim')
  const { brief } = claim
  const run: Run = { parts, brief, stop: AbortSignal.any([signal, parts.leases.hold(attemptId)]), bootId: null, touched: brief.target.touched, ours: null }
  let reported = false
  try {
    const end = await driveHost(run)
    if (end === null) { parts.log.warn({ attemptId, host: brief.host.name }, 'stopped before its end: handed back, or another worker has it'); return }
    reached('end-before')
    reported = await durably(run, { at: 'end', attemptId, fencingToken: brief.fencingToken, ...end })
    reached('end-after')
    if (!reported) parts.log.warn({ attemptId, host: brief.host.name }, 'the report came too late: the lease had expired')
  } finally {
    // Without a report the host is free again at once; the next attempt asks the kernel how far this one came.
    if (reported) parts.leases.release(attemptId)
    else await parts.leases.handBack(attemptId)
    await parts.ringRollout(brief.rollout.id)
    reached('attempt-ring')
  }
}

/** Between two tries to write a report while the database is away. */
const writeAgainMs = 300

/** Writes a report, again and again while the lease lasts: the database may be restarting. Writing it twice does no harm. */
async function durably({ parts, stop }: Run, report: Report): Promise<boolean> {
  for (;;) {
    try { return await parts.reports.write(report) } catch (error) {
      parts.log.warn({ attemptId: report.attemptId, error: (error as Error).message }, 'a report could not be written')
      if (stop.aborted) throw error
      await pause(writeAgainMs, stop)
    }
  }
}

const pause = (ms: number, stop: AbortSignal): Promise<void> => new Promise((done) => {
  if (stop.aborted) { done(); return }
  const end = (): void => { clearTimeout(timer); stop.removeEventListener('abort', end); done() }
  const timer = setTimeout(end, ms)
  stop.addEventListener('abort', end, { once: true })
})

const notConnected = (code: string, detail: string): End => ({ outcome: { kind: 'failed', code, detail, touched: 'no' }, step: 'connect' })

/** Null: stopped by us. Nothing more may be sent to the host, and what we know is no outcome. */
async function driveHost(run: Run): Promise<End | null> {
  const { parts, brief, stop } = run
  let channel: GateChannel
  try { channel = await parts.reach.open(brief.host, stop) } catch (error) {
    if (stop.aborted) return null
    if (error instanceof ChannelError) return notConnected(error.fault, error.message)
    if (error instanceof CredentialUnusable) return notConnected('CREDENTIAL_UNUSABLE', error.message)
    throw error
  }
  reached('channel-open')
  try {
    const done = await drive(klpDrivers[brief.kind], jobOf(brief), watched(channel, run), hooks(run))
    if (!done.ended) return null
    // Our own word, not the host's: a worker that is stopped in order is no loss of contact.
    if (stop.aborted && done.outcome.kind === 'failed' && done.outcome.code === 'CANCELLED') return null
    return { outcome: done.outcome, step: done.step, ...(done.facts ? { facts: done.facts } : {}) }
  } catch (error) {
    if (run.ours !== null) throw run.ours
    // Only what the host said can have led a driver astray, and the same again would do so again.
    parts.log.error({ attemptId: brief.attemptId, host: brief.host.name, error: error instanceof Error ? error.stack : String(error) }, 'a driver failed')
    return { outcome: { kind: 'failed', code: 'PROTOCOL', detail: sanitise(`The driver failed: ${error instanceof Error ? error.message : String(error)}`, 200), touched: run.touched ? 'unknown' : 'no' }, step: 'driver' }
  } finally { channel.close() }
}

/** The fail-points around every request to the host, and an ear for its boot id. */
const watched = (channel: AskingChannel, run: Run): AskingChannel => ({
  ask: async (request, onLine) => {
    reached('step-before', request.verb)
    const reply = await channel.ask(request, onLine)
    reached('step-after', request.verb)
    if (request.verb === 'hello' && reply.ok) {
      const greeting = readHello(reply.lines)
      if (greeting.ok) run.bootId = greeting.value.bootId
    }
    return reply
  },
})

/** Remembers that what goes wrong in here is ours. */
async function ofOurs<T>(run: Run, work: Promise<T>): Promise<T> {
  try { return await work } catch (error) { run.ours = error; throw error }
}

function hooks(run: Run): DriveHooks {
  const { parts, brief, stop } = run
  let state: TargetState = brief.target.state
  const phases = phasesOf[brief.kind]
  return {
    before: async (step, phase) => {
      if (stop.aborted) return false
      const load = step === 'load'
      if (!phases.includes(phase) || (phase === state && !(load && !run.touched))) return true
      reached('phase-before', step)
      const report: Report = { at: 'phase', attemptId: brief.attemptId, fencingToken: brief.fencingToken, to: phase, step, ...(load ? { touched: true } : {}), ...(run.bootId === null ? {} : { bootId: run.bootId }) }
      const held = await ofOurs(run, durably(run, report))
      reached('phase-after', step)
      state = phase
      run.touched ||= load
      return held && !stop.aborted
    },
    progress: (progress) => { parts.progress.note(brief.target.id, progress) },
    body: (sha256) => ofOurs(run, parts.artefacts.bytes(sha256)),
    pause: (ms) => pause(ms, stop),
  }
}
