// The plan's own linter: what no plan may ever say, whatever the view. It shares nothing with the planner but the tables.
import type { Decision, Plan } from './decisions.js'
import type { AttemptKind } from './outcome.js'
import { mayMove, rolloutEdges, targetEdges, targetMeaning, type TargetState, waveEdges } from './states.js'
import { startLimit } from './builds.js'
import type { BuildView, Counts, RolloutView, TargetView, WaveView } from './view.js'

/** Which attempts make sense on a target in a state. None: nothing may be ordered there. */
const kindsOf: Readonly<Record<TargetState, readonly AttemptKind[]>> = {
  pending: ['apply'], checking: ['apply'], staging: ['apply'], loading: ['apply'], transitioning: ['apply'],
  stalled: ['look', 'nudge'], patched: [], baking: ['look'], lost: ['look'], reverting: ['revert', 'reverse', 'nudge'],
  succeeded: [], reverted: [], failed: [], skipped: [], cancelled: [],
}

interface Sight {
  readonly view: RolloutView
  readonly now: number
  readonly plan: Plan
  readonly targets: ReadonlyMap<string, TargetView>
  readonly say: (fault: string) => void
}

const open = (target: TargetView): boolean => target.attempt?.state === 'ordered' || target.attempt?.state === 'running'
const pick = <K extends Decision['do']>(plan: Plan, kind: K) => plan.decisions.filter((one): one is Extract<Decision, { do: K }> => one.do === kind)
const bad = (counts: Counts): number => (Object.entries(counts) as [TargetState, number][]).reduce((sum, [state, n]) => sum + (targetMeaning[state].counts === 'bad' ? n : 0), 0)

/** @returns every fault of the plan in one sentence; empty for a sound one. `now`: the moment it was made for. */
export function lintPlan(view: RolloutView, plan: Plan, now: number): string[] {
  const faults: string[] = []
  const all = [...view.active, ...view.candidates, ...view.revertible]
  const sight: Sight = { view, now, plan, targets: new Map(all.map((target) => [target.id, target])), say: (fault) => { faults.push(fault) } }
  for (const check of [checkMoves, checkAttempts, checkStarts, checkBuilds, checkGroups, checkBudget, checkWaves, checkRollout, checkSpeech, checkWake]) check(sight)
  return faults
}

function checkMoves({ view, plan, targets, say }: Sight): void {
  const seen = new Set<string>()
  for (const one of plan.decisions) {
    if (!('targetId' in one)) continue
    if (!targets.has(one.targetId)) say(`${one.do} on target ${one.targetId}, which the view does not hold`)
    if (seen.has(one.targetId)) say(`two decisions for target ${one.targetId}`)
    seen.add(one.targetId)
  }
  for (const one of pick(plan, 'move-target')) {
    const target = targets.get(one.targetId)
    if (target && target.state !== one.from) say(`target ${one.targetId} is ${target.state}, the plan moves it from ${one.from}`)
    if (!mayMove(targetEdges, one.from, one.to)) say(`target ${one.targetId} may not move from ${one.from} to ${one.to}`)
    if (target && open(target)) say(`target ${one.targetId} is moved while its attempt is open`)
  }
  if (pick(plan, 'cancel-pending').length > 0 && view.state !== 'cancelled' && view.state !== 'reverting') say(`pending targets are cancelled while the rollout is ${view.state}`)
}

function checkAttempts({ view, plan, targets, now, say }: Sight): void {
  const hosts = new Set<string>()
  for (const one of pick(plan, 'order-attempt')) {
    const target = targets.get(one.targetId)
    if (!target) continue
    if (open(target)) say(`a second attempt for target ${target.id}`)
    if (target.hostBusy || hosts.has(target.hostId)) say(`a second attempt for host ${target.hostId}`)
    if (!kindsOf[target.state].includes(one.kind)) say(`${one.kind} for target ${target.id}, which is ${target.state}`)
    if (target.notBefore !== null && target.notBefore > now && target.state !== 'stalled') say(`an attempt for target ${target.id} before its time`)
    if (target.attempt?.state === 'done' && !target.attemptUsed) say(`an attempt for target ${target.id} while its last outcome is unused`)
    hosts.add(target.hostId)
  }
  const known = new Map(view.active.flatMap((target) => (target.attempt ? [[target.attempt.id, target] as const] : [])))
  for (const one of pick(plan, 'ring-attempt')) if (known.get(one.attemptId)?.attempt?.state !== 'ordered') say(`attempt ${one.attemptId} is rung and is not ordered`)
  for (const one of pick(plan, 'abandon-attempt')) {
    const target = known.get(one.attemptId)
    const dead = target?.attempt?.state === 'running' && target.attempt.leaseExpired
    const build = view.builds.find((each) => each.id === target?.buildId)
    const unclaimed = target?.attempt?.state === 'ordered' && target.state === 'pending' && (view.state !== 'running' || Boolean(build?.stopped) || Boolean(build?.halted))
    if (!dead && !unclaimed) say(`attempt ${one.attemptId} is abandoned while it may be under way`)
  }
}

function checkStarts({ view, plan, targets, now, say }: Sight): void {
  const starts = pick(plan, 'order-attempt').flatMap((one) => targets.get(one.targetId) ?? []).filter((target) => target.state === 'pending')
  if (starts.length === 0) return
  const overridden = view.overrideUntil !== null && now < view.overrideUntil
  if (!overridden && (view.window ? !view.window.open : view.strategy.schedule)) say(`${starts.length} hosts start outside the windows`)
  if (view.state !== 'running') say(`${starts.length} hosts start while the rollout is ${view.state}`)
  const moved = pick(plan, 'move-rollout')[0]
  if (moved) say(`${starts.length} hosts start while the rollout moves to ${moved.to}`)
  const stopped = new Set([...pick(plan, 'stop-build').map((one) => one.buildId), ...view.builds.filter((build) => build.stopped).map((build) => build.id)])
  const turned = pick(plan, 'move-target').filter((one) =>
    targetMeaning[one.from].counts !== 'bad' && targetMeaning[one.to].counts === 'bad' && !stopped.has(targets.get(one.targetId)?.buildId ?? '')).length
  const fresh = view.builds.reduce((sum, build) => sum + (stopped.has(build.id) ? 0 : Math.max(0, bad(build.counts) - build.forgiven)), 0) + turned
  if (fresh > view.strategy.errorsMax) say(`${starts.length} hosts start after ${fresh} went bad, ${view.strategy.errorsMax} are allowed`)
  for (const target of starts) {
    const wave = view.waves.find((one) => one.id === target.waveId)
    if (!wave || (wave.state !== 'running' && wave.state !== 'baking')) say(`target ${target.id} starts in a wave that is ${wave?.state ?? 'unknown'}`)
    if (target.notBefore !== null && target.notBefore > now) say(`target ${target.id} starts before its time`)
  }
}

/** A wave that has not passed, but for hosts whose build is stopped. */
const isInTheWay = (wave: WaveView): boolean =>
  wave.state !== 'passed' && (wave.heldBack === 0 || (Object.entries(wave.counts) as [TargetState, number][]).reduce((sum, [state, n]) => sum + (targetMeaning[state].settled ? 0 : n), 0) > wave.heldBack)

/** Law 4 by build: nothing of a stopped or halted one starts, and one that has proved nothing yet goes one host at a time. */
function checkBuilds({ view, plan, targets, say }: Sight): void {
  const canaries = new Set(view.waves.filter((wave) => wave.canary).map((wave) => wave.id))
  const starts = pick(plan, 'order-attempt').flatMap((one) => targets.get(one.targetId) ?? []).filter((target) => target.state === 'pending')
  const stopping = new Set(pick(plan, 'stop-build').map((one) => one.buildId))
  const check = (build: BuildView): void => {
    const mine = starts.filter((target) => target.buildId === build.id)
    if (mine.length === 0) return
    if (stopping.has(build.id)) say(`${mine.length} hosts start with build ${build.id}, which this plan stops`)
    const limit = startLimit(build, mine.every((target) => canaries.has(target.waveId)))
    const before = view.active.filter((target) => target.buildId === build.id && (targetMeaning[target.state].inFlight || open(target))).length
    if (before + mine.length > limit) say(`${before + mine.length} hosts are on their way with build ${build.id}, ${limit} may be`)
  }
  view.builds.forEach(check)
  for (const one of pick(plan, 'stop-build')) if (!view.builds.some((build) => build.id === one.buildId && !build.stopped)) say(`build ${one.buildId} is stopped twice, or is none of the view`)
}

/** Quorums and failure domains, counted anew. */
function checkGroups({ view, plan, targets, say }: Sight): void {
  const starts = pick(plan, 'order-attempt').flatMap((one) => targets.get(one.targetId) ?? []).filter((target) => target.state === 'pending')
  const before = view.active.filter((target) => targetMeaning[target.state].inFlight || open(target))
  for (const target of starts) {
    if (target.quorumBusy || target.outrankedBy !== null) say(`target ${target.id} starts and should wait for another rollout`)
    const beside = [...before, ...starts].filter((one) => one.id !== target.id)
    if (target.quorum !== null && beside.some((one) => one.quorum === target.quorum)) say(`two hosts of the quorum ${target.quorum} are in flight`)
    for (const { label, max } of view.strategy.groups ?? []) {
      const group = target.groups.find((one) => one.startsWith(`${label}=`))
      if (group !== undefined && beside.filter((one) => one.groups.includes(group)).length >= max) say(`more than ${max} hosts of ${group} are in flight`)
    }
  }
  if (starts.length > 0 && view.room !== null && before.length + starts.length > view.room) say(`${before.length + starts.length} hosts in flight, the installation leaves ${view.room}`)
}

function checkBudget({ view, plan, targets, say }: Sight): void {
  const before = view.active.filter((target) => targetMeaning[target.state].inFlight || open(target)).length
  const started = pick(plan, 'order-attempt').filter((one) => targets.get(one.targetId)?.state === 'pending').length
  const taken = pick(plan, 'move-target').filter((one) => targetMeaning[one.from].settled && targetMeaning[one.to].inFlight).length
  const { inFlightMax } = view.strategy
  if (started + taken > 0 && before + started + taken > inFlightMax) say(`${before + started + taken} hosts in flight, ${inFlightMax} are allowed`)
  const attempts = view.active.filter(open).length + pick(plan, 'order-attempt').length
  if (pick(plan, 'order-attempt').length > 0 && attempts > inFlightMax) say(`${attempts} attempts at once, ${inFlightMax} are allowed`)
}

function checkWaves({ view, plan, say }: Sight): void {
  const seen = new Set<string>()
  for (const one of pick(plan, 'move-wave')) {
    const wave = view.waves.find((each) => each.id === one.waveId)
    if (seen.has(one.waveId)) say(`two decisions for wave ${one.waveId}`)
    seen.add(one.waveId)
    if (!wave) { say(`a decision on wave ${one.waveId}, which the view does not hold`); continue }
    if (!mayMove(waveEdges, wave.state, one.to)) say(`wave ${wave.id} may not move from ${wave.state} to ${one.to}`)
    if (one.to === 'running' && wave.state === 'pending' && view.waves.some((each) => each.index < wave.index && isInTheWay(each))) say(`wave ${wave.id} starts before an earlier one has passed`)
    const unsettled = (Object.entries(wave.counts) as [TargetState, number][]).some(([state, n]) => n > 0 && !targetMeaning[state].settled)
    if (one.to === 'passed' && unsettled) say(`wave ${wave.id} passes while hosts of it are under way`)
  }
}

function checkRollout({ view, plan, say }: Sight): void {
  const moves = pick(plan, 'move-rollout')
  if (moves.length > 1) say('two decisions for the rollout')
  for (const one of moves) {
    if (!mayMove(rolloutEdges, view.state, one.to)) say(`the rollout may not move from ${view.state} to ${one.to}`)
    if ((one.to === 'succeeded' || one.to === 'reverted' || one.to === 'failed') && view.active.length > 0) say(`the rollout ends as ${one.to} while ${view.active.length} hosts are under way`)
    if (one.to === 'succeeded' && view.waves.some((wave) => wave.state !== 'passed')) say('the rollout succeeds before every wave has passed')
    if (one.to === 'succeeded' && view.builds.some((build) => build.stopped)) say('the rollout succeeds while a build of it is stopped')
  }
}

/** Law 8: every target of the view is decided on, or says what it waits on, and never both. */
function checkSpeech({ view, plan, targets, say }: Sight): void {
  const decided = new Set(plan.decisions.flatMap((one) => ('targetId' in one ? [one.targetId] : [])))
  const waiting = new Set<string>()
  for (const { targetId } of plan.waitingOn) {
    if (!targets.has(targetId)) say(`target ${targetId} waits and the view does not hold it`)
    if (waiting.has(targetId)) say(`target ${targetId} waits on two things`)
    if (decided.has(targetId)) say(`target ${targetId} is decided on and waits`)
    waiting.add(targetId)
  }
  const cancelled = pick(plan, 'cancel-pending').length > 0
  const candidates = new Set(view.candidates.map((target) => target.id))
  for (const id of targets.keys()) if (!decided.has(id) && !waiting.has(id) && !(cancelled && candidates.has(id))) say(`target ${id} is left alone without a reason`)
  for (const one of [...plan.decisions, ...plan.waitingOn]) {
    if (!('reason' in one)) continue
    if (!/^[A-Za-z0-9_-]{1,60}$/.test(one.reason.code)) say(`"${one.reason.code}" is no reason code`)
    if (!/[.)…]$/.test(one.reason.says)) say(`the reason ${one.reason.code} is no sentence: "${one.reason.says}"`)
  }
}

/** The earliest moment at which a target left alone can go on by itself must not be slept through. */
function checkWake({ plan, targets, now, say }: Sight): void {
  if (plan.wakeAt !== null && plan.wakeAt <= now) say(`it wants to be woken at ${plan.wakeAt}, which is past`)
  for (const { targetId, reason } of plan.waitingOn) {
    const target = targets.get(targetId)
    if (!target || open(target) || reason.code === 'budget') continue
    const due = Math.max(target.notBefore ?? 0, target.state === 'baking' ? (target.bakeUntil ?? 0) : 0)
    const sleeps = target.state === 'baking' || target.state === 'lost' || target.state === 'reverting' || reason.code === 'retry-later' || reason.code === 'host-busy'
    if (sleeps && (plan.wakeAt === null || (due > now && plan.wakeAt > due && reason.code !== 'host-busy'))) say(`target ${targetId} is due at ${due}, and the plan sleeps until ${plan.wakeAt}`)
  }
}
