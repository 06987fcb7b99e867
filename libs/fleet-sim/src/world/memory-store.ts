// The store's promises in memory, for specs of the planner: guarded commits, one open attempt per host, leases with
// tokens that only grow. Every move is checked against the edge tables, every commit against the budget.
import {
  attemptEdges, type AttemptKind, type AttemptState, type BuildView, type Decision, mayMove, type Outcome, type Plan,
  type PlannedWave, type Reason, type RolloutAct, rolloutActs, rolloutEdges, type RolloutState, type RolloutView, sharesOf, startLimit,
  type Strategy, targetEdges, targetMeaning, type TargetState, type TargetView, waveEdges, type WaveState, whyNot,
} from '@uptide/rollout'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export interface TargetRow extends Mutable<Omit<TargetView, 'attempt' | 'hostBusy' | 'quorumBusy' | 'outrankedBy'>> {
  attemptId: string | null
  attemptOpen: boolean
  reason: string
}

export interface AttemptRow {
  readonly id: string; readonly targetId: string; readonly hostId: string; readonly kind: AttemptKind; readonly number: number; readonly orderedAt: number
  state: AttemptState; rungAt: number; token: number; outcome: Outcome | null
}

interface WaveRow { readonly id: string; readonly index: number; readonly canary: boolean; state: WaveState; readonly hosts: number }

const revertibleStates: ReadonlySet<TargetState> = new Set(['succeeded', 'failed', 'cancelled'])
const workerPhases: ReadonlySet<TargetState> = new Set(['checking', 'staging', 'loading', 'transitioning', 'reverting'])

export class MemoryStore {
  state: RolloutState = 'scheduled'
  generation = 1
  /** By build: its kernel, what a person has accepted, and why it is stopped or halted. */
  readonly builds = new Map<string, { readonly kernel: string; forgiven: number; stopped: Reason | null; halted: Reason | null }>()
  /** Builds that have succeeded on some host of the fleet. */
  readonly proven = new Set<string>()
  readonly waves: WaveRow[]
  readonly targets = new Map<string, TargetRow>()
  readonly attempts = new Map<string, AttemptRow>()
  /** By host: until when the lease holds (Infinity: it is renewed), for which attempt, and the newest token. */
  readonly leases = new Map<string, { token: number; attemptId: string | null; until: number }>()
  /** Hosts on which another rollout has an open attempt. */
  readonly busyElsewhere = new Set<string>()
  readonly edges = new Set<string>()
  starts = 0
  /** Moves of targets so far, and who is told of everything that happens. */
  moves = 0
  tell: (line: string) => void = () => {}
  mostInFlight = 0
  private ids = 0

  constructor(waves: readonly PlannedWave[], readonly strategy: Strategy, now: number) {
    this.waves = waves.map((wave) => ({ id: `w${wave.index}`, index: wave.index, canary: wave.canary, state: 'pending', hosts: wave.hosts.length }))
    for (const wave of waves) {
      for (const host of wave.hosts) {
        const id = `t-${host.name}`
        this.builds.set(host.buildId, { kernel: host.kernel, forgiven: 0, stopped: null, halted: null })
        this.targets.set(id, {
          id, hostId: host.hostId, hostName: host.name, waveId: `w${wave.index}`, buildId: host.buildId, ...sharesOf(host, strategy), state: 'pending', generation: 1, tries: 0, since: now, notBefore: null,
          touched: false, bootIdBefore: null, bakeUntil: null, stall: null, looks: 0, attemptId: null, attemptOpen: false, attemptUsed: true, reason: '',
        })
      }
    }
  }

  private isActive(row: TargetRow): boolean { return row.attemptOpen || !row.attemptUsed || targetMeaning[row.state].inFlight }

  get inFlight(): number { return [...this.targets.values()].filter((row) => row.attemptOpen || targetMeaning[row.state].inFlight).length }

  private shown(row: TargetRow, now: number): TargetView {
    const attempt = row.attemptId === null ? undefined : this.attempts.get(row.attemptId)
    const lease = this.leases.get(row.hostId)
    const held = attempt !== undefined && lease?.attemptId === attempt.id && lease.until > now
    return {
      id: row.id, hostId: row.hostId, hostName: row.hostName, waveId: row.waveId, buildId: row.buildId, state: row.state, generation: row.generation, tries: row.tries, since: row.since,
      notBefore: row.notBefore, touched: row.touched, bootIdBefore: row.bootIdBefore, bakeUntil: row.bakeUntil, stall: row.stall, looks: row.looks, attemptUsed: row.attemptUsed,
      hostBusy: this.busyElsewhere.has(row.hostId), groups: row.groups, quorum: row.quorum, quorumBusy: false, outrankedBy: null,
      attempt: attempt ? { id: attempt.id, kind: attempt.kind, number: attempt.number, state: attempt.state, orderedAt: attempt.orderedAt, rungAt: attempt.rungAt, leaseExpired: attempt.state === 'running' && !held, outcome: attempt.outcome } : null,
    }
  }

  view(now: number): RolloutView {
    const rows = [...this.targets.values()]
    const begun = this.waves.filter((wave) => wave.state !== 'passed' && wave.state !== 'pending')
    const asked = begun.length > 0 ? begun : this.waves.filter((wave) => wave.state === 'pending').slice(0, 1)
    const byWave = this.counts((row) => row.waveId)
    const builds = this.buildViews()
    const failedWaves = new Set(this.strategy.onFailure === 'revert-wave' ? this.waves.filter((wave) => wave.state === 'failed').map((wave) => wave.id) : [])
    const due = (row: TargetRow): number => (row.notBefore !== null && row.notBefore > now ? row.notBefore : 0)
    const free = rows.filter((row) => row.state === 'pending' && !row.attemptOpen && row.attemptUsed)
    const heldBack = new Set(builds.filter((build) => build.stopped || build.halted).map((build) => build.id))
    const stuck = (row: TargetRow): boolean => row.touched && row.state === 'failed' && row.reason === 'REVERT_FAILED'
    const show = (list: readonly TargetRow[]): TargetView[] => list.map((row) => this.shown(row, now))
    return {
      id: 'r1', kind: 'patch', state: this.state, generation: this.generation, strategy: this.strategy, builds,
      waves: this.waves.map((wave) => ({ ...wave, counts: byWave.get(wave.id) ?? {}, heldBack: heldBack.size === 0 ? 0 : free.filter((row) => row.waveId === wave.id && heldBack.has(row.buildId ?? '')).length })),
      active: show(rows.filter((row) => this.isActive(row))),
      candidates: show(this.next(builds, free.filter((row) => asked.some((wave) => wave.id === row.waveId)).sort((a, b) => due(a) - due(b) || (a.waveId < b.waveId ? -1 : a.waveId > b.waveId ? 1 : a.hostName < b.hostName ? -1 : 1)))),
      revertible: show(rows.filter((row) => row.touched && revertibleStates.has(row.state) && !this.isActive(row) && !stuck(row)
        && (this.state === 'reverting' || failedWaves.has(row.waveId) || (this.strategy.onFailure === 'revert-wave' && this.builds.get(row.buildId ?? '')?.stopped))).slice(0, this.strategy.inFlightMax)),
      unreverted: rows.filter(stuck).length, room: null, window: null, overrideUntil: null, pending: free.length,
    }
  }

  private counts(keyOf: (row: TargetRow) => string): Map<string, Partial<Record<TargetState, number>>> {
    const all = new Map<string, Partial<Record<TargetState, number>>>()
    for (const row of this.targets.values()) {
      const key = keyOf(row)
      const counts = all.get(key) ?? {}
      counts[row.state] = (counts[row.state] ?? 0) + 1
      all.set(key, counts)
    }
    return all
  }

  private buildViews(): BuildView[] {
    const counts = this.counts((row) => row.buildId ?? '')
    return [...this.builds].map(([id, build]) => ({ ...build, id, proven: this.proven.has(id), elsewhere: 0, counts: counts.get(id) ?? {} }))
  }

  /** Those that may start, up to the budget; then one of each build that may not. Of a build with a limit there is one at most. */
  private next(builds: readonly BuildView[], rows: readonly TargetRow[]): TargetRow[] {
    const byId = new Map(builds.map((build) => [build.id, build]))
    const canary = new Set(this.waves.filter((wave) => wave.canary).map((wave) => wave.id))
    const started = new Map<string, number>()
    for (const row of this.targets.values()) if (row.attemptOpen || targetMeaning[row.state].inFlight) started.set(row.buildId ?? '', (started.get(row.buildId ?? '') ?? 0) + 1)
    const seen = new Set<string>()
    const open: TargetRow[] = []
    const closed: TargetRow[] = []
    for (const row of rows) {
      const build = byId.get(row.buildId ?? '')
      const limit = build ? startLimit(build, canary.has(row.waveId)) : Infinity
      if (limit < Infinity && seen.size === seen.add(row.buildId ?? '').size) continue
      if ((started.get(row.buildId ?? '') ?? 0) < limit) open.push(row)
      else closed.push(row)
    }
    return [...open.slice(0, this.strategy.inFlightMax), ...closed]
  }

  commit(view: RolloutView, plan: Plan, now: number): { committed: boolean; toRing: string[] } {
    if (plan.decisions.length === 0) return { committed: true, toRing: [] }
    if (view.generation !== this.generation) return { committed: false, toRing: [] }
    this.generation += 1
    const known = new Map([...view.active, ...view.candidates, ...view.revertible].map((target) => [target.id, target]))
    const order: readonly Decision['do'][] = ['halt-artefact', 'stop-build', 'abandon-attempt', 'move-target', 'note-target', 'order-attempt', 'cancel-pending', 'move-wave', 'move-rollout', 'ring-attempt']
    const toRing: string[] = []
    for (const kind of order) for (const one of plan.decisions) if (one.do === kind) this.apply(one, known, now, toRing)
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight)
    return { committed: true, toRing }
  }

  private apply(one: Decision, known: ReadonlyMap<string, TargetView>, now: number, toRing: string[]): void {
    if (one.do === 'move-rollout') { this.moveRollout(one.to, one.reason.says); return }
    if (one.do === 'halt-artefact') { this.build(one.buildId).halted = one.reason; this.tell(`${one.buildId} halted everywhere: ${one.reason.says}`); return }
    if (one.do === 'stop-build') { this.build(one.buildId).stopped = one.reason; this.tell(`${one.buildId} stopped: ${one.reason.says}`); return }
    if (one.do === 'move-wave') { this.moveWave(one.waveId, one.to); return }
    if (one.do === 'cancel-pending') { for (const row of this.targets.values()) if (row.state === 'pending' && !row.attemptOpen) this.moveTarget(row, 'cancelled', now, one.reason.code); return }
    if (one.do === 'ring-attempt') { const attempt = this.attempts.get(one.attemptId); if (attempt?.state === 'ordered') { attempt.rungAt = now; toRing.push(attempt.id) } return }
    const row = this.targets.get(one.targetId)
    const seen = known.get(one.targetId)
    if (!row || !seen) throw new Error(`the plan decides on ${one.targetId}, which its view does not hold`)
    if (one.do === 'abandon-attempt') { this.abandon(row, one.attemptId, now); return }
    if (row.generation !== seen.generation || row.state !== seen.state || row.attemptOpen) return
    if (one.do === 'order-attempt') { const id = this.order(row, one, now); if (id) toRing.push(id); return }
    if (one.do === 'move-target') this.moveTarget(row, one.to, now, one.reason.code)
    else row.generation += 1
    Object.assign(row, one.set)
  }

  private build(id: string | null) {
    const build = this.builds.get(id ?? '')
    if (!build) throw new Error(`there is no build ${id}`)
    return build
  }

  private order(row: TargetRow, one: Extract<Decision, { do: 'order-attempt' }>, now: number): string | null {
    if (this.busyElsewhere.has(row.hostId)) return null
    if (row.state === 'pending') {
      if (this.state !== 'running') throw new Error(`${row.id} starts while the rollout is ${this.state}`)
      this.starts += 1
    }
    const id = `a${++this.ids}`
    this.attempts.set(id, { id, targetId: row.id, hostId: row.hostId, kind: one.kind, number: this.ids, orderedAt: now, rungAt: now, state: 'ordered', token: 0, outcome: null })
    // Only what the real store takes along with an order.
    if (one.set?.tries !== undefined) row.tries = one.set.tries
    if (one.set?.notBefore !== undefined) row.notBefore = one.set.notBefore
    if (one.set?.stall !== undefined) row.stall = one.set.stall
    row.attemptId = id; row.attemptOpen = true; row.attemptUsed = true; row.generation += 1
    return id
  }

  private abandon(row: TargetRow, attemptId: string, now: number): void {
    const attempt = this.attempts.get(attemptId)
    if (!attempt || row.attemptId !== attemptId) return
    const lease = this.leases.get(row.hostId)
    if (attempt.state === 'running' ? lease?.attemptId === attemptId && lease.until > now : attempt.state !== 'ordered') return
    this.moveAttempt(attempt, 'abandoned')
    row.attemptOpen = false; row.attemptUsed = true; row.generation += 1
  }

  /** @returns the fencing token, or null when there is nothing to claim. */
  claim(attemptId: string, now: number): number | null {
    const attempt = this.attempts.get(attemptId)
    if (attempt?.state !== 'ordered') return null
    const lease = this.leases.get(attempt.hostId)
    if (lease && lease.attemptId !== null && lease.until > now) return null
    // Whatever stopped since it was ordered is obeyed at the last moment (I6).
    const row = this.rowOf(attempt)
    const build = this.builds.get(row.buildId ?? '')
    if (attempt.kind === 'apply' && row.state === 'pending' && (this.state !== 'running' || build?.stopped || build?.halted)) return null
    attempt.token = (lease?.token ?? 0) + 1
    this.leases.set(attempt.hostId, { token: attempt.token, attemptId, until: Infinity })
    this.moveAttempt(attempt, 'running')
    if (attempt.kind === 'apply' && row.state === 'pending') {
      this.moveTarget(row, 'checking', now, '')
      if (!row.touched) row.bootIdBefore = null
    }
    return attempt.token
  }

  private rowOf(attempt: AttemptRow): TargetRow {
    const row = this.targets.get(attempt.targetId)
    if (!row) throw new Error(`attempt ${attempt.id} has no target`)
    return row
  }

  private heldBy(attemptId: string, token: number, now: number): AttemptRow | null {
    const attempt = this.attempts.get(attemptId)
    const lease = attempt && this.leases.get(attempt.hostId)
    return attempt?.state === 'running' && attempt.token === token && lease?.attemptId === attemptId && lease.token === token && lease.until > now ? attempt : null
  }

  /** @returns false: fenced off. */
  phase(attemptId: string, token: number, to: TargetState, extra: { touched?: boolean; bootId?: string }, now: number): boolean {
    const attempt = this.heldBy(attemptId, token, now)
    if (!attempt) return false
    const row = this.rowOf(attempt)
    if (workerPhases.has(to) && to !== row.state && mayMove(targetEdges, row.state, to)) this.moveTarget(row, to, now, '')
    row.touched ||= extra.touched === true
    row.bootIdBefore ??= extra.bootId ?? null
    row.generation += 1
    return true
  }

  end(attemptId: string, token: number, outcome: Outcome, now: number): boolean {
    const attempt = this.heldBy(attemptId, token, now)
    if (!attempt) return false
    this.moveAttempt(attempt, 'done')
    attempt.outcome = outcome
    const row = this.rowOf(attempt)
    row.attemptOpen = false; row.attemptUsed = false; row.generation += 1
    this.leases.set(attempt.hostId, { token, attemptId: null, until: now })
    return true
  }

  /** @returns whether the act was allowed. `release`: a person lets every halted artefact go on. */
  act(act: RolloutAct | 'release'): boolean {
    if (act === 'release') {
      for (const build of this.builds.values()) build.halted = null
      this.generation += 1
      return true
    }
    if (whyNot(act, this.state)) return false
    this.moveRollout(act === 'start' ? 'scheduled' : rolloutActs[act].to)
    if (act === 'resume') {
      for (const [id, build] of this.builds) {
        build.forgiven = [...this.targets.values()].filter((row) => row.buildId === id && targetMeaning[row.state].counts === 'bad').length
        build.stopped = null
      }
    }
    this.generation += 1
    return true
  }

  private moveTarget(row: TargetRow, to: TargetState, now: number, reason: string): void {
    this.edge('target', mayMove(targetEdges, row.state, to), row.state, to)
    if (to === 'succeeded') this.proven.add(row.buildId ?? '')
    this.moves += 1
    this.tell(`${row.hostName} ${row.state} → ${to}${reason === '' ? '' : ` (${reason})`}`)
    row.state = to; row.since = now; row.reason = reason; row.generation += 1
  }
  private moveRollout(to: RolloutState, says = ''): void {
    this.edge('rollout', mayMove(rolloutEdges, this.state, to), this.state, to)
    this.tell(`rollout ${this.state} → ${to}${says === '' ? '' : `: ${says}`}`)
    this.state = to
  }
  private moveWave(id: string, to: WaveState): void {
    const wave = this.waves.find((one) => one.id === id)
    if (!wave) throw new Error(`there is no wave ${id}`)
    this.edge('wave', mayMove(waveEdges, wave.state, to), wave.state, to)
    this.tell(`wave ${wave.index + 1} ${wave.state} → ${to}`)
    wave.state = to
  }
  private moveAttempt(attempt: AttemptRow, to: AttemptState): void { this.edge('attempt', mayMove(attemptEdges, attempt.state, to), attempt.state, to); attempt.state = to }
  private edge(what: string, legal: boolean, from: string, to: string): void {
    if (!legal) throw new Error(`illegal edge: ${what} from ${from} to ${to}`)
    this.edges.add(`${what}: ${from} → ${to}`)
  }
}
