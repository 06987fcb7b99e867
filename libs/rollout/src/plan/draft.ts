// The plan while it is being made: decisions in order, and for every target left alone a reason.
import type { Decision, Plan, Reason, TargetChange, WaitingOn } from '../decisions.js'
import { mayMove, targetEdges, targetMeaning, type TargetState } from '../states.js'
import type { AttemptKind } from '../outcome.js'
import type { PlanRules } from '../rules.js'
import type { BuildView, RolloutView, TargetView, WaveView } from '../view.js'

/** A reason stands in the chain of events and on a terminal: three lines of 160 columns are the most anybody reads. */
const saysMax = 480

// Parts of a sentence come from hosts: what moves a cursor, ends a line or turns its direction round does not pass.
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/g

export const because = (code: string, says: string): Reason => {
  const clean = says.replace(unprintable, ' ').trim()
  return { code, says: clean.length > saysMax ? `${clean.slice(0, saysMax - 1)}…` : clean }
}

export const isOpen = (target: TargetView): boolean => target.attempt?.state === 'ordered' || target.attempt?.state === 'running'

/** A worker walks this road phase by phase. When a phase was not written, the plan writes it before the outcome. */
const road: Readonly<Partial<Record<TargetState, TargetState>>> = { pending: 'checking', checking: 'transitioning', staging: 'loading', loading: 'transitioning' }

// No label has a space in it.
const quorumKey = (quorum: string): string => `quorum ${quorum}`

const bump = (counts: Map<string, number>, key: string | null): void => { if (key !== null) counts.set(key, (counts.get(key) ?? 0) + 1) }

export class Draft {
  readonly decisions: Decision[] = []
  private readonly waits = new Map<string, WaitingOn>()
  private readonly decided = new Set<string>()
  private readonly waveById: ReadonlyMap<string, WaveView>
  private readonly buildById: ReadonlyMap<string, BuildView>
  /** Hosts in flight by build, by group and by quorum, with those that this plan starts. */
  private readonly inFlightBy = new Map<string, number>()
  /** By build: targets that this plan finds bad; the view's counts do not have them yet. */
  private readonly freshBadBy = new Map<string, number>()
  /** Builds that this plan stops, and those whose artefact it halts. */
  readonly stopping = new Set<string>()
  private readonly halting = new Set<string>()
  private wake: number | null = null
  /** Hosts in flight, with those that this plan starts. Hosts that it settles keep their place until that is committed. */
  inFlight: number
  /** Open attempts, with those that this plan orders. */
  open: number
  /** A stall that the policy gave up, which holds the rollout; null: none. */
  stallGivenUp: string | null = null

  constructor(readonly view: RolloutView, readonly now: number, readonly rules: PlanRules) {
    this.waveById = new Map(view.waves.map((wave) => [wave.id, wave]))
    this.buildById = new Map(view.builds.map((build) => [build.id, build]))
    const inFlight = view.active.filter((target) => targetMeaning[target.state].inFlight || isOpen(target))
    this.inFlight = inFlight.length
    for (const target of inFlight) this.takePlaces(target)
    this.open = view.active.filter(isOpen).length
  }

  isDecided(target: TargetView): boolean { return this.decided.has(target.id) }

  waveOf(target: TargetView): WaveView | undefined { return this.waveById.get(target.waveId) }

  buildOf(target: TargetView): BuildView | undefined { return target.buildId === null ? undefined : this.buildById.get(target.buildId) }

  private takePlaces(target: TargetView): void {
    for (const key of [target.buildId, ...target.groups, target.quorum === null ? null : quorumKey(target.quorum)]) bump(this.inFlightBy, key)
  }

  inFlightOf(build: BuildView): number { return this.inFlightBy.get(build.id) ?? 0 }

  inFlightIn(group: string): number { return this.inFlightBy.get(group) ?? 0 }

  inFlightOfQuorum(quorum: string): number { return this.inFlightBy.get(quorumKey(quorum)) ?? 0 }

  freshBadIn(build: BuildView): number { return this.freshBadBy.get(build.id) ?? 0 }

  isStopped(build: BuildView): boolean { return build.stopped !== null || this.stopping.has(build.id) }

  /** Its kernel came to harm, or nobody can tell: the artefact starts nowhere any more until a person releases it. */
  halt(suspect: TargetView, reason: Reason): void {
    const build = this.buildOf(suspect)
    if (!build || build.halted || this.halting.has(build.id)) return
    this.halting.add(build.id)
    this.decisions.push({ do: 'halt-artefact', buildId: build.id, suspectId: suspect.id, reason })
  }

  stopBuild(build: BuildView, reason: Reason): void {
    this.stopping.add(build.id)
    this.decisions.push({ do: 'stop-build', buildId: build.id, reason })
  }

  decide(decision: Decision): void {
    if ('targetId' in decision) {
      this.decided.add(decision.targetId)
      this.waits.delete(decision.targetId)
    }
    this.decisions.push(decision)
  }

  move(target: TargetView, wanted: TargetState, reason: Reason, set: TargetChange = {}): void {
    // A state that is already right keeps its place: only the fields change.
    if (target.state === wanted) { this.note(target, reason, set); return }
    const to = mayMove(targetEdges, target.state, wanted) ? wanted : road[target.state]
    if (to === undefined) throw new Error(`plan: target ${target.id} may not move from ${target.state} to ${wanted} (${reason.code})`)
    // On the road the outcome stays unused: the next round takes it from there.
    const change = to === wanted ? { attemptUsed: true, ...set } : { attemptUsed: false }
    this.decide({ do: 'move-target', targetId: target.id, from: target.state, to, reason, set: change })
    this.count(target, to)
  }

  private count(target: TargetView, to: TargetState): void {
    if (!targetMeaning[target.state].inFlight && !isOpen(target) && targetMeaning[to].inFlight) this.inFlight += 1
    if (targetMeaning[target.state].counts === 'bad' || targetMeaning[to].counts !== 'bad') return
    bump(this.freshBadBy, target.buildId)
  }

  /** The state stays, fields change, and the newest outcome is taken into account. */
  note(target: TargetView, reason: Reason, set: TargetChange = {}): void {
    this.decide({ do: 'note-target', targetId: target.id, set: { attemptUsed: true, ...set }, reason })
  }

  order(target: TargetView, kind: AttemptKind, reason: Reason, set?: TargetChange): void {
    if (!targetMeaning[target.state].inFlight) {
      this.inFlight += 1
      this.takePlaces(target)
    }
    this.open += 1
    this.decide({ do: 'order-attempt', targetId: target.id, kind, reason, ...(set ? { set } : {}) })
  }

  wait(target: TargetView, reason: Reason, until?: number): void {
    if (this.decided.has(target.id)) return
    this.waits.set(target.id, { targetId: target.id, reason })
    if (until !== undefined) this.wakeBy(until)
  }

  /** Look again at `at`, at the latest. A moment that is past means at once. */
  wakeBy(at: number): void {
    const later = Math.max(at, this.now + 1)
    this.wake = this.wake === null ? later : Math.min(this.wake, later)
  }

  done(): Plan { return { decisions: this.decisions, waitingOn: [...this.waits.values()], wakeAt: this.wake } }
}
