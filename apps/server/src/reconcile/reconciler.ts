// The decider's shell: load a view, plan, commit, ring. Runs on a ring and on a timer; the two do exactly the same.
import { retryOf, sentenceOf } from '@uptide/livepatch'
import { contactCodes, plan, type PlanRules } from '@uptide/rollout'
import type { Store } from '@uptide/store'
import { reached } from '../fail-points.js'

export interface ReconcileBell { ringRollout(id: string): Promise<void>; ringAttempts(ids: readonly string[]): Promise<void> }
export interface ReconcileLog { debug(details: object, message: string): void; warn(details: object, message: string): void; error(details: object, message: string): void }

export const planRules: PlanRules = { retryOf, isContact: (code) => contactCodes.has(code), sentenceOf }

/** Rounds of one reconcile: each commits something, and the longest chain (end, move, wave, start) takes five. */
const roundsMax = 20
const principal = 'reconcile'

export class Reconciler {
  private readonly timers = new Map<string, NodeJS.Timeout>()
  private sweeping: NodeJS.Timeout | null = null
  private stopped = false

  constructor(private readonly store: Store, private readonly bell: ReconcileBell, private readonly log: ReconcileLog, private readonly sweepMs: number) {}

  /** Everything that is due for one rollout now. Safe to run twice at once: the loser's commit is refused. */
  async reconcile(rolloutId: string, signal?: AbortSignal): Promise<void> {
    for (let round = 0; round < roundsMax && !signal?.aborted; round++) {
      const view = await this.store.loadRolloutView(rolloutId)
      reached('reconcile-view')
      if (!view) { this.log.warn({ rolloutId }, 'rung for a rollout that does not exist'); return }
      const decided = plan(view, await this.store.databaseNow(), planRules)
      reached('reconcile-plan')
      if (decided.decisions.length === 0) { this.wakeAt(rolloutId, decided.wakeAt); return }
      const { committed, toRing, dropped } = await this.store.commitPlan(view, decided, principal)
      reached('reconcile-commit')
      if (!committed) { this.log.debug({ rolloutId }, 'another reconcile was first; looking again'); continue }
      await this.bell.ringAttempts(toRing)
      reached('reconcile-ring')
      this.log.debug({ rolloutId, decisions: decided.decisions.length, rung: toRing.length, dropped }, 'planned')
    }
    await this.bell.ringRollout(rolloutId)
  }

  /** A hint kept in memory; the sweep finds the same without it. */
  private wakeAt(rolloutId: string, at: number | null): void {
    clearTimeout(this.timers.get(rolloutId))
    this.timers.delete(rolloutId)
    if (at === null || this.stopped) return
    const inMs = Math.min(Math.max(at - Date.now(), 10), this.sweepMs)
    const timer = setTimeout(() => { this.timers.delete(rolloutId); void this.bell.ringRollout(rolloutId) }, inMs)
    timer.unref()
    this.timers.set(rolloutId, timer)
  }

  /** Rings every live rollout again and again: this is what makes the loss of every queue harmless. */
  startSweep(): void {
    const sweep = async (): Promise<void> => {
      try { for (const id of await this.store.liveRollouts()) await this.bell.ringRollout(id) } catch (error) { this.log.warn({ error: (error as Error).message }, 'the sweep failed; the next one comes') }
      if (!this.stopped) { this.sweeping = setTimeout(() => { void sweep() }, this.sweepMs); this.sweeping.unref() }
    }
    void sweep()
  }

  stop(): void {
    this.stopped = true
    if (this.sweeping) clearTimeout(this.sweeping)
    for (const timer of this.timers.values()) clearTimeout(timer)
  }
}
