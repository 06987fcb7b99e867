// Views for stories: everything that a story does not name is plain and well.
import type { AttemptKind, Outcome, Reading } from '../outcome.js'
import type { AttemptState, TargetState } from '../states.js'
import { defaultStrategy, type Strategy } from '../strategy.js'
import type { AttemptView, BuildView, RolloutView, TargetView, WaveView } from '../view.js'

/** The moment of every story, milliseconds since the epoch. */
export const noon = 1_700_000_000_000

export const aReading: Reading = { moduleState: 'ACTIVE', bootId: 'boot-1', kernelRelease: '6.1.0', taint: 0, loaded: ['m'] }

const outcomes = {
  patched: { kind: 'patched', reading: aReading, transitionMs: 900, already: false },
  healthy: { kind: 'healthy', reading: aReading },
  unhealthy: { kind: 'unhealthy', reading: aReading, code: 'KERNEL_OOPS', detail: 'one oops' },
  stalled: { kind: 'stalled', reading: aReading, tasks: { moved: 97, all: 100 }, transitionAgeMs: 30_000, blockers: [{ tid: 1, pid: 1, comm: 'ftpd', kernelTask: false, state: 'D', stack: [] }] },
  reverted: { kind: 'reverted', reading: aReading, transitionMs: 500, already: false },
  skipped: { kind: 'skipped', code: 'KERNEL_MISMATCH', detail: '' },
  failed: { kind: 'failed', code: 'SYMBOL_MISMATCH', detail: '', touched: 'no' },
  rebooted: { kind: 'rebooted', bootIdBefore: 'boot-1', bootIdAfter: 'boot-2', touched: 'yes' },
} as const satisfies { [K in Outcome['kind']]: Extract<Outcome, { kind: K }> }

export const anOutcome = <K extends Outcome['kind']>(kind: K, parts: Partial<Extract<Outcome, { kind: K }>> = {}): Outcome => ({ ...outcomes[kind], ...parts }) as Outcome

export const anAttempt = (kind: AttemptKind, state: AttemptState, parts: Partial<AttemptView> = {}): AttemptView =>
  ({ id: `a-${kind}`, kind, number: 1, state, orderedAt: noon - 1_000, rungAt: noon - 1_000, leaseExpired: false, outcome: null, ...parts })

/** An attempt that has ended and that no plan has seen yet, for aTarget(). */
export const ended = (kind: AttemptKind, outcome: Outcome): Pick<TargetView, 'attempt' | 'attemptUsed'> => ({ attempt: anAttempt(kind, 'done', { outcome }), attemptUsed: false })

export const aTarget = (hostName: string, state: TargetState, parts: Partial<TargetView> = {}): TargetView => ({
  id: `t-${hostName}`, hostId: hostName, hostName, waveId: 'w0', buildId: 'b1', state, generation: 1, tries: state === 'pending' ? 0 : 1, since: noon - 60_000, notBefore: null,
  touched: false, bootIdBefore: null, bakeUntil: null, stall: null, looks: 0, attempt: null, attemptUsed: true, hostBusy: false, groups: [], quorum: null, quorumBusy: false, outrankedBy: null, ...parts,
})

export const aWave = (index: number, state: WaveView['state'], counts: WaveView['counts']): WaveView =>
  ({ id: `w${index}`, index, canary: index === 0, state, hosts: Object.values(counts).reduce((sum, n) => sum + n, 0), counts, heldBack: 0 })

/** A build that has succeeded elsewhere. */
export const aBuild = (id: string, counts: BuildView['counts'], parts: Partial<BuildView> = {}): BuildView =>
  ({ id, kernel: '6.1.0-9', proven: true, elsewhere: 0, counts, forgiven: 0, stopped: null, halted: null, ...parts })

/** A running rollout of one canary wave and one build; counts are those of the targets named, unless a story gives waves or builds. `forgiven`: of that build. */
export function aView(parts: Partial<Omit<RolloutView, 'strategy'>> & { readonly strategy?: Partial<Strategy>; readonly forgiven?: number } = {}): RolloutView {
  const { strategy, forgiven = 0, ...rest } = parts
  const shown = [...(parts.active ?? []), ...(parts.candidates ?? []), ...(parts.revertible ?? [])]
  const counts: Partial<Record<TargetState, number>> = {}
  for (const { state } of shown) counts[state] = (counts[state] ?? 0) + 1
  const waves = parts.waves ?? [aWave(0, 'running', counts)]
  const all: Partial<Record<TargetState, number>> = {}
  for (const wave of waves) for (const [state, n] of Object.entries(wave.counts) as [TargetState, number][]) all[state] = (all[state] ?? 0) + n
  return {
    id: 'r1', kind: 'patch', state: 'running', generation: 1, waves, builds: [aBuild('b1', all, { forgiven })], active: [], candidates: [], revertible: [], unreverted: 0, room: null, window: null, overrideUntil: null,
    pending: parts.candidates?.length ?? 0, ...rest, strategy: { ...defaultStrategy, checkAtMs: [], ...strategy },
  }
}
