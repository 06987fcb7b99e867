// A deterministic world around the planner: virtual time, workers that die or sleep, messages that are lost, doubled or
// late, reconcilers that overlap, an operator. Any breach of a law throws and names the moment.
import { lintPlan, type Outcome, plan, type PlannedWave, type RolloutAct, rolloutEnded, type Strategy, targetMeaning } from '@uptide/rollout'
import { type Host, reboot, type Step, walkOf } from './host-model.js'
import { MemoryStore, type TargetRow } from './memory-store.js'
import type { Chance } from '../seed.js'

export interface Faults {
  /** Per step of an attempt. */
  readonly workerDies: number; readonly workerSleeps: number; readonly contactLost: number; readonly reboots: number
  /** Per message. */
  readonly ringLost: number; readonly ringDoubled: number; readonly reportRingLost: number
  /** Per reconcile: a second scheduler is at it, or the database's clock jumps for a moment. */
  readonly reconcilersOverlap: number; readonly clockJumps: number
}

export const noFaults: Faults = { workerDies: 0, workerSleeps: 0, contactLost: 0, reboots: 0, ringLost: 0, ringDoubled: 0, reportRingLost: 0, reconcilersOverlap: 0, clockJumps: 0 }

export interface Setting {
  readonly waves: readonly PlannedWave[]
  readonly strategy: Strategy
  readonly hosts: ReadonlyMap<string, Host>
  readonly faults: Faults
  readonly chance: Chance
  /** What a person does when nothing moves any more; null: nothing, and the world ends. */
  /** Builds that have succeeded on some host of the fleet before. */
  readonly proven?: readonly string[]
  /** Is told everything that happens, line by line. */
  readonly tell?: (line: string) => void
  readonly onStandstill: (world: World) => RolloutAct | 'release' | null
}

const leaseMs = 15_000
const sweepMs = 60_000
const plansMax = 20_000

export class World {
  now = 1_700_000_000_000
  readonly store: MemoryStore
  plans = 0
  /** Moves of targets that were told. */
  told = 0
  private readonly queue: { at: number; order: number; run: () => void }[] = []
  private order = 0
  private sweepAt = 0

  constructor(readonly setting: Setting) {
    this.store = new MemoryStore(setting.waves, setting.strategy, this.now)
    for (const build of setting.proven ?? []) this.store.proven.add(build)
    this.store.tell = (line) => {
      if (/^\S+ [a-z]+ → [a-z]+( \(|$)/.test(line) && !line.startsWith('rollout ') && !line.startsWith('wave ')) this.told += 1
      setting.tell?.(line)
    }
  }

  in(ms: number, run: () => void): void {
    const item = { at: this.now + ms, order: ++this.order, run }
    let place = this.queue.length
    while (place > 0 && (this.queue[place - 1]?.at ?? 0) > item.at) place -= 1
    this.queue.splice(place, 0, item)
  }

  /** Runs until nothing happens any more. */
  run(): void {
    this.in(0, () => { this.reconcile() })
    for (;;) {
      const item = this.queue.shift()
      if (item) { this.now = Math.max(this.now, item.at); item.run(); continue }
      if (!this.atRest()) { this.now += sweepMs; this.reconcile(); continue }
      const act = this.setting.onStandstill(this)
      if (act === null || !this.store.act(act)) return
      this.reconcile()
    }
  }

  private atRest(): boolean {
    const view = this.store.view(this.now)
    return view.active.length === 0 && plan(view, this.now).decisions.length === 0
  }

  private watch(): void {
    const { inFlightMax } = this.setting.strategy
    if (this.store.inFlight > inFlightMax) throw new Error(`${this.store.inFlight} hosts in flight at ${this.now}, ${inFlightMax} are allowed`)
    const started = [...this.store.targets.values()].filter((row) => row.attemptOpen || targetMeaning[row.state].inFlight)
    const shared = new Map<string, number>()
    for (const row of started) for (const key of [...row.groups, ...(row.quorum === null ? [] : [`quorum ${row.quorum}`])]) shared.set(key, (shared.get(key) ?? 0) + 1)
    for (const [key, n] of shared) {
      const most = key.startsWith('quorum ') ? 1 : (this.setting.strategy.groups?.find(({ label }) => key.startsWith(`${label}=`))?.max ?? Infinity)
      if (n > most && !this.takenBack) throw new Error(`${n} hosts of ${key} in flight at ${this.now}, ${most} are allowed`)
    }
  }

  /** Hosts on their way back are made safe first; they may be more than a group allows. */
  private get takenBack(): boolean { return this.store.state === 'reverting' || [...this.store.targets.values()].some((row) => row.state === 'reverting') }

  reconcile(): void {
    if (++this.plans > plansMax) throw new Error('the rollout does not come to rest')
    const at = this.clock()
    const view = this.store.view(at)
    const made = plan(view, at)
    const faults = lintPlan(view, made, at)
    if (faults.length > 0) throw new Error(`the plan is unsound: ${faults.join('; ')}`)
    if (this.plans % 16 === 0 && JSON.stringify(plan(view, at)) !== JSON.stringify(made)) throw new Error('two plans of one view differ')
    if (made.decisions.length === 0) { this.sleep(made.wakeAt); return }
    const commit = (): void => {
      const { toRing } = this.store.commit(view, made, this.now)
      // Only a commit starts hosts.
      this.watch()
      for (const id of toRing) this.ring(id)
      this.in(1, () => { this.reconcile() })
    }
    const { chance, faults: { reconcilersOverlap } } = this.setting
    if (!chance.happens(reconcilersOverlap)) { commit(); return }
    // Another reconciler sees the same and is first, or things move on in between.
    this.in(chance.whole(0, 300), commit)
    this.in(chance.whole(0, 300), () => { this.reconcile() })
  }

  /** The database's clock may be set while a plan is made: by up to two minutes back, or ten forward. */
  private clock(): number {
    const { chance, faults: { clockJumps } } = this.setting
    return clockJumps > 0 && chance.happens(clockJumps) ? this.now + chance.whole(-120_000, 600_000) : this.now
  }

  private sleep(wakeAt: number | null): void {
    if (wakeAt !== null && (this.sweepAt <= this.now || wakeAt < this.sweepAt)) {
      this.sweepAt = wakeAt
      this.in(wakeAt - this.now, () => { this.reconcile() })
    }
  }

  private ring(attemptId: string): void {
    const { chance, faults } = this.setting
    const times = chance.happens(faults.ringLost) ? 0 : chance.happens(faults.ringDoubled) ? 3 : 1
    for (let i = 0; i < times; i++) this.in(chance.whole(1, 2_000), () => { this.work(attemptId) })
  }

  private work(attemptId: string): void {
    const attempt = this.store.attempts.get(attemptId)
    const token = this.store.claim(attemptId, this.now)
    if (!attempt || token === null) return
    const target = this.store.targets.get(attempt.targetId)
    const host = this.setting.hosts.get(attempt.hostId)
    if (!target || !host) throw new Error('an attempt without a host')
    const walk = walkOf(attempt.kind, {
      host, chance: this.setting.chance, now: () => this.now, stallAfterMs: this.setting.strategy.stall.afterMs, lossRate: this.setting.faults.contactLost, token,
      job: { touched: target.touched, bootIdBefore: target.bootIdBefore, state: target.state },
    })
    this.step(walk, attemptId, token, host)
  }

  private step(walk: Generator<Step, Outcome>, attemptId: string, token: number, host: Host): void {
    const { chance, faults } = this.setting
    const { value, done } = walk.next()
    if (done) { this.report(attemptId, token, value as Outcome); return }
    const { phase, takesMs, ...extra } = value as Step
    const lease = this.store.leases.get(host.name)
    if (phase && !this.store.phase(attemptId, token, phase, extra, this.now)) return
    if (chance.happens(faults.reboots)) reboot(host)
    const dies = chance.happens(faults.workerDies)
    const sleeps = !dies && chance.happens(faults.workerSleeps)
    if ((dies || sleeps) && lease?.token === token) {
      lease.until = this.now + leaseMs
      this.in(leaseMs + 1, () => { this.reconcile() })
    }
    if (!dies) this.in(sleeps ? chance.whole(1_000, 3 * leaseMs) : takesMs, () => { if (this.wakes(host, token)) this.step(walk, attemptId, token, host) })
  }

  /** A worker that slept renews its lease if it still has it; else its own watchdog stops it before it talks to the host. */
  private wakes(host: Host, token: number): boolean {
    const lease = this.store.leases.get(host.name)
    if (lease?.token !== token || lease.attemptId === null) return false
    if (lease.until <= this.now) return false
    lease.until = Infinity
    return true
  }

  private report(attemptId: string, token: number, outcome: Outcome): void {
    const { chance, faults } = this.setting
    if (this.store.end(attemptId, token, outcome, this.now) && this.store.end(attemptId, token, outcome, this.now)) throw new Error('an attempt ended twice')
    if (!chance.happens(faults.reportRingLost)) this.in(chance.whole(1, 50), () => { this.reconcile() })
  }

  /** At rest: targets that are not settled, and no person is asked for either. */
  unexplained(): string[] {
    const stuck = [...this.store.targets.values()].filter((row) => !targetMeaning[row.state].settled)
    const halted = (row: TargetRow): boolean => Boolean(this.store.builds.get(row.buildId ?? '')?.halted)
    return stuck.filter((row) => row.state !== 'pending' || (this.store.state !== 'held' && !halted(row))).map((row) => `${row.id} is ${row.state} in a rollout that is ${this.store.state}`)
  }

  get ended(): boolean { return rolloutEnded.has(this.store.state) }
}
