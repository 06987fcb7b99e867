// The drivers of upstream livepatch (kernels from 4.12 with the consistency model), one for each kind of attempt.
import type { Driver, RunnableDriver, Step } from '../../driver.js'
import { hostFactsOf, readFacts, readHello, readPatches } from '../../facts.js'
import type { GateFacts, HostFacts } from '../../facts.js'
import { isErrorCode } from '../../errors.js'
import type { KlpOutcome } from '../../outcome.js'
import { sanitise } from '../../sanitise.js'
import { applySteps } from './apply.js'
import { beginKlp } from './job.js'
import type { KlpContext, KlpJob } from './job.js'
import { lookSteps, nudgeSteps } from './look.js'
import { revertSteps, reverseSteps } from './revert.js'
import { request } from './steps.js'
import type { KlpSteps } from './steps.js'

export type { KlpContext, KlpJob } from './job.js'

export type KlpOperation = 'apply' | 'look' | 'nudge' | 'reverse' | 'revert'

const klpDriver = (operation: KlpOperation, steps: KlpSteps): RunnableDriver<KlpJob, KlpContext, KlpOutcome> => ({
  mechanism: 'klp', operation, first: 'hello', steps,
  begin: beginKlp,
  factsOf: (context) => (context.facts ? hostFactsOf(context.facts, context.patches) : null),
  broken: (_context, fault, detail, touched) => ({ kind: 'failed', code: isErrorCode(fault) ? fault : 'PROTOCOL', detail, touched }),
})

export const klpDrivers: Readonly<Record<KlpOperation, RunnableDriver<KlpJob, KlpContext, KlpOutcome>>> = {
  apply: klpDriver('apply', applySteps),
  look: klpDriver('look', lookSteps),
  nudge: klpDriver('nudge', nudgeSteps),
  reverse: klpDriver('reverse', reverseSteps),
  revert: klpDriver('revert', revertSteps),
}

export type ProbeOutcome =
  | { readonly kind: 'facts'; readonly facts: HostFacts; readonly gateMode: string }
  | { readonly kind: 'failed'; readonly code: string; readonly detail: string }

interface ProbeContext { readonly mode: string; readonly facts: GateFacts | null }

const broken = (code: string, detail: string): { done: ProbeOutcome } => ({ done: { kind: 'failed', code: isErrorCode(code) ? code : 'PROTOCOL', detail: sanitise(detail, 400) } })

const probeStep = (name: string, args: readonly string[], read: Step<ProbeContext, ProbeOutcome>['read']): Step<ProbeContext, ProbeOutcome> => ({
  name, phase: null, ask: () => request(name, args),
  read: (context, reply) => (reply?.ok ? read(context, reply) : broken(reply?.code ?? 'PROTOCOL', reply?.detail ?? 'no reply')),
})

/** Reads what a host is, whatever its mechanism; takes no lease and changes nothing. */
export const probeDriver: RunnableDriver<null, ProbeContext, ProbeOutcome> & Driver<ProbeContext, ProbeOutcome> = {
  mechanism: 'any', operation: 'probe', first: 'hello',
  begin: () => ({ mode: '', facts: null }),
  factsOf: () => null,
  broken: (_context, fault, detail) => broken(fault, detail).done,
  steps: {
    hello: probeStep('hello', ['1'], (context, reply) => {
      const read = readHello(reply!.lines)
      return read.ok ? { go: 'facts', context: { ...context, mode: read.value.mode } } : broken('GATE_MISSING', read.detail)
    }),
    facts: probeStep('facts', [], (context, reply) => {
      const read = readFacts(reply!.lines)
      return read.ok ? { go: 'patches', context: { ...context, facts: read.value } } : broken('PROTOCOL', read.detail)
    }),
    patches: probeStep('patches', [], (context, reply) => {
      const read = readPatches(reply!.lines)
      return read.ok ? { done: { kind: 'facts', facts: hostFactsOf(context.facts!, read.value), gateMode: context.mode } } : broken('PROTOCOL', read.detail)
    }),
  },
}
