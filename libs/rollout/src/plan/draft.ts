// The plan while it is being made: decisions in order, and for every target left alone a reason.
import type { Decision, Plan, Reason, TargetChange, WaitingOn } from '../decisions.js'
import { mayMove, targetEdges, type TargetState } from '../states.js'
import type { AttemptKind } from '../outcome.js'
import type { PlanRules } from '../rules.js'
import type { RolloutView, TargetView } from '../view.js'

export const because = (code: string, says: string): Reason => ({ code, says })

export class Draft {
  readonly decisions: Decision[] = []
  private readonly waits = new Map<string, WaitingOn>()
  private readonly decided = new Set<string>()
  private wake: number | null = null
  /** Attempts ordered by this plan: they take places in flight. */
  ordered = 0

  constructor(readonly view: RolloutView, readonly now: number, readonly rules: PlanRules) {}

  isDecided(target: TargetView): boolean { return this.decided.has(target.id) }

  decide(decision: Decision): void {
    if ('targetId' in decision) {
      this.decided.add(decision.targetId)
      this.waits.delete(decision.targetId)
    }
    if (decision.do === 'order-attempt') this.ordered += 1
    this.decisions.push(decision)
  }

  move(target: TargetView, to: TargetState, reason: Reason, set: TargetChange = {}): void {
    // A state that is already right keeps its place: only the fields change.
    if (target.state === to) { this.decide({ do: 'note-target', targetId: target.id, set: { attemptUsed: true, ...set }, reason }); return }
    if (!mayMove(targetEdges, target.state, to)) throw new Error(`plan: target ${target.id} may not move from ${target.state} to ${to} (${reason.code})`)
    this.decide({ do: 'move-target', targetId: target.id, from: target.state, to, reason, set: { attemptUsed: true, ...set } })
  }

  order(target: TargetView, kind: AttemptKind, reason: Reason, set?: TargetChange): void {
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

export const isOpen = (target: TargetView): boolean => target.attempt?.state === 'ordered' || target.attempt?.state === 'running'
