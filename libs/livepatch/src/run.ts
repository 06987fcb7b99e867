// Runs a driver over a channel: asks its questions in order and hands the replies back. It holds no timer and no
// clock; it awaits only what it is given, so that the worker, the tests and the simulator share it.
import type { HostFacts } from './facts.js'
import type { GateReply, GateRequest, Phase, Progress, RunnableDriver, Step } from './driver.js'
import type { Touched } from './outcome.js'
import { sanitise } from './sanitise.js'

export interface AskingChannel {
  ask(request: GateRequest, onLine?: (line: string) => void): Promise<GateReply>
}

export interface DriveHooks {
  /**
   * Called before a step's request is sent, and awaited: what it commits is durable before the host hears of it.
   * `phase` is where the target stands now. False stops the drive: the attempt is fenced off.
   */
  before(step: string, phase: Phase): Promise<boolean>
  progress(progress: Progress): void
  /** The bytes of an artefact, or null when there are none. */
  body(sha256: string): Promise<Uint8Array | null>
  pause(ms: number): Promise<void>
}

export type Drive<O> =
  | { readonly ended: true; readonly outcome: O; readonly step: string; readonly facts: HostFacts | null }
  /** `before` said no: nothing more may be sent to the host, and there is nothing to report. */
  | { readonly ended: false; readonly step: string }

/** Verbs after which the kernel may be another. */
const kernelVerbs: ReadonlySet<string> = new Set(['load', 'unload', 'write', 'nudge'])

/** Most steps of one attempt: the longest road (apply with cleanup of 64 replaced modules) takes about 200. */
export const stepsMax = 400

/** A typed fault of the channel, by shape: the class lives in the transport, which this package may not import. */
const faultOf = (error: unknown): { fault: string; message: string } | null =>
  error instanceof Error && 'fault' in error && typeof error.fault === 'string' ? { fault: error.fault, message: error.message } : null

/**
 * Drives one attempt to its end. A channel that breaks is an outcome; every other error is thrown.
 * @throws Error when the driver names a step that it does not have.
 */
export async function drive<J, C, O>(driver: RunnableDriver<J, C, O>, job: J, channel: AskingChannel, hooks: DriveHooks): Promise<Drive<O>> {
  let context = driver.begin(job)
  let name = driver.first
  let phase: Phase = 'checking'
  let touched: Touched = 'no'
  for (let count = 0; count < stepsMax; count++) {
    const step = driver.steps[name]
    if (!step) throw new Error(`the driver ${driver.mechanism}/${driver.operation} has no step ${name}`)
    const request = step.ask(context)
    let reply: GateReply | null = null
    if (request) {
      phase = step.phase ?? phase
      const pauseMs = step.pauseMs?.(context) ?? 0
      if (pauseMs > 0) await hooks.pause(pauseMs)
      if (!(await hooks.before(name, phase))) return { ended: false, step: name }
      const changes = kernelVerbs.has(request.verb)
      try {
        reply = await ask(step, context, request, channel, hooks)
        // A refusal is the gate's word that nothing was done.
        if (changes && reply.ok) touched = 'yes'
      } catch (error) {
        const broken = faultOf(error)
        if (!broken) throw error
        const outcome = driver.broken(context, broken.fault, sanitise(broken.message, 200), changes && touched === 'no' ? 'unknown' : touched)
        return { ended: true, outcome, step: name, facts: driver.factsOf(context) }
      }
    }
    const next = step.read(context, reply)
    if ('done' in next) return { ended: true, outcome: next.done, step: name, facts: driver.factsOf(next.context ?? context) }
    context = next.context
    name = next.go
  }
  // Only a host whose answers lead in circles gets here: every loop of a driver is bounded by itself.
  const outcome = driver.broken(context, 'PROTOCOL', `after ${stepsMax} requests the host still led in circles, at ${name}`, touched)
  return { ended: true, outcome, step: name, facts: driver.factsOf(context) }
}

async function ask<C, O>(step: Step<C, O>, context: C, request: GateRequest, channel: AskingChannel, hooks: DriveHooks): Promise<GateReply> {
  const onLine = (line: string) => {
    const progress = step.progress?.(context, line)
    if (progress) hooks.progress(progress)
  }
  if (request.verb !== 'stage' || request.body) return channel.ask(request, onLine)
  const [sha256 = '', length = ''] = request.args
  const body = await hooks.body(sha256)
  if (!body || String(body.byteLength) !== length) {
    return { ok: false, code: 'ARTEFACT_MISSING', detail: body ? `it has ${body.byteLength} bytes and should have ${length}` : 'no bytes are stored', lines: [] }
  }
  return channel.ask({ ...request, body }, onLine)
}
