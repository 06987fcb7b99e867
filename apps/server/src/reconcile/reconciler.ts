// The decider's shell: load a view, plan, commit, ring. Runs on a ring and on a timer; the two do exactly the same.
import { retryOf, sentenceOf } from '@uptide/livepatch'
import { contactCodes, defaultRules, lintPlan, plan, type PlanRules } from '@uptide/rollout'
import type { Store } from '@uptide/store'
import { reached } from '../fail-points.js'
import { WindowBook } from '../windows/window-of.js'

export interface ReconcileBell { ringRollout(id: string): Promise<void>; ringAttempts(ids: readonly string[]): Promise<void> }
export interface ReconcileLog { debug(details: object, message: string): void; warn(details: object, message: string): void; error(details: object, message: string): void }

export const planRules: PlanRules = { retryOf, isContact: (code) => contactCodes.has(code), isHarm: defaultRules.isHarm, sentenceOf }

/** Rounds of one reconcile: each commits something, and the longest chain (end, move, wave, start) takes five. */
const roundsMax = 20
/** Rollouts that a sweep looks at beside each other; they meet at the chain's one lock anyway. */
const sweepWidth = 4
const principal = 'reconcile'

export class Reconciler {
  private readonly timers = new Map<string, NodeJS.Timeout>()
  private readonly underWay = new Map<string, number>()
  private readonly stopping = new AbortController()
  private readonly windows = new WindowBook()
  private sweeping: Promise<void> = Promise.resolve()
  private next: NodeJS.Timeout | null = null

  constructor(private readonly store: Pick<Store, 'loadRolloutView' | 'databaseNow' | 'commitPlan' | 'liveRollouts'>, private readonly bell: ReconcileBell, private readonly log: ReconcileLog, private readonly sweepMs: number) {}

  /** Everything that is due for one rollout now. Safe to run twice at once: the loser's commit is refused. */
  async reconcile(rolloutId: string, signal?: AbortSignal): Promise<void> {
    this.underWay.set(rolloutId, (this.underWay.get(rolloutId) ?? 0) + 1)
    try { await this.settle(rolloutId, signal) } finally {
      const left = (this.underWay.get(rolloutId) ?? 1) - 1
      if (left > 0) this.underWay.set(rolloutId, left)
      else this.underWay.delete(rolloutId)
    }
  }

  private async settle(rolloutId: string, signal?: AbortSignal): Promise<void> {
    for (let round = 0; round < roundsMax && !signal?.aborted; round++) {
      const loaded = await this.store.loadRolloutView(rolloutId)
      reached('reconcile-view')
      if (!loaded) { this.log.warn({ rolloutId }, 'rung for a rollout that does not exist'); return }
      const now = await this.store.databaseNow()
      const { schedule } = loaded.strategy
      const view = schedule ? { ...loaded, window: this.windows.stateOf(rolloutId, schedule, now) } : loaded
      const decided = plan(view, now, planRules)
      reached('reconcile-plan')
      const unsound = lintPlan(view, decided, now)
      // A plan that breaks its own rules is never carried out: better a rollout that stands still and is heard of.
      if (unsound.length > 0) { this.log.error({ rolloutId, unsound }, 'the plan is unsound and was not committed'); return }
      if (decided.decisions.length === 0) { this.wakeIn(rolloutId, decided.wakeAt === null ? null : decided.wakeAt - now); return }
      const { committed, toRing, dropped } = await this.store.commitPlan(view, decided, principal)
      reached('reconcile-commit')
      if (!committed) { this.log.debug({ rolloutId }, 'another reconcile was first; looking again'); continue }
      await this.bell.ringAttempts(toRing)
      reached('reconcile-ring')
      this.log.debug({ rolloutId, decisions: decided.decisions.length, rung: toRing.length, dropped }, 'planned')
    }
    await this.bell.ringRollout(rolloutId)
  }

  /** A hint kept in memory, by the difference of two of the database's moments; the sweep finds the same without it. */
  private wakeIn(rolloutId: string, inMs: number | null): void {
    clearTimeout(this.timers.get(rolloutId))
    this.timers.delete(rolloutId)
    if (inMs === null || this.stopping.signal.aborted) return
    const timer = setTimeout(() => { this.timers.delete(rolloutId); void this.bell.ringRollout(rolloutId) }, Math.min(Math.max(inMs, 10), this.sweepMs))
    timer.unref()
    this.timers.set(rolloutId, timer)
  }

  /**
   * Looks at every live rollout again and again, without the queue: a bell that is lost, stuck behind a dead worker's
   * lock or without its backend costs one sweep.
   */
  startSweep(): void {
    this.sweeping = this.sweep().finally(() => {
      if (this.stopping.signal.aborted) return
      this.next = setTimeout(() => { this.startSweep() }, this.sweepMs)
      this.next.unref()
    })
  }

  private async sweep(): Promise<void> {
    try {
      const due = (await this.store.liveRollouts()).filter((id) => !this.underWay.has(id))
      await Promise.all(Array.from({ length: sweepWidth }, async () => {
        for (let id = due.pop(); id !== undefined && !this.stopping.signal.aborted; id = due.pop()) await this.sweepOne(id)
      }))
    } catch (error) { this.log.warn({ error: (error as Error).message }, 'the sweep failed; the next one comes') }
  }

  /** One rollout that cannot be planned must not keep the others waiting. */
  private async sweepOne(id: string): Promise<void> {
    try { await this.reconcile(id, this.stopping.signal) } catch (error) { this.log.error({ rolloutId: id, error: error instanceof Error ? error.stack : String(error) }, 'the rollout could not be planned; the next sweep tries again') }
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    if (this.next) clearTimeout(this.next)
    for (const timer of this.timers.values()) clearTimeout(timer)
    this.timers.clear()
    await this.sweeping
  }
}
