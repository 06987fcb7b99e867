// A linter that finds nothing proves nothing: each fault is put into a sound plan and has to be named.
import { describe, expect, it } from 'vitest'
import { type Decision, lintPlan, type Plan, plan, type Reason, type RolloutView, type TargetView } from './index.js'
import { aBuild, anAttempt, anOutcome, aTarget, aView, aWave, ended, noon } from './testing/views.js'

const reason: Reason = { code: 'SPEC', says: 'As the story says.' }
const made = (decisions: readonly Decision[], waiting: readonly string[] = [], wakeAt: number | null = null): Plan => ({ decisions, waitingOn: waiting.map((targetId) => ({ targetId, reason })), wakeAt })
const order = (targetId: string, kind: Extract<Decision, { do: 'order-attempt' }>['kind'] = 'apply'): Decision => ({ do: 'order-attempt', targetId, kind, reason })
const move = (target: TargetView, to: TargetView['state']): Decision => ({ do: 'move-target', targetId: target.id, from: target.state, to, reason })

const pending = aTarget('p', 'pending')
const loading = aTarget('l', 'loading', { attempt: anAttempt('apply', 'done', { outcome: anOutcome('failed') }) })
const running = aTarget('r', 'loading', { attempt: anAttempt('apply', 'running') })
const one = (target: TargetView, parts: Parameters<typeof aView>[0] = {}): RolloutView => aView({ ...(target.state === 'pending' ? { candidates: [target] } : { active: [target] }), ...parts })

const faults: readonly [string, RolloutView, Plan][] = [
  ['target t-l may not move from loading to succeeded', one(loading), made([move(loading, 'succeeded')])],
  ['target t-l is loading, the plan moves it from staging', one(loading), made([{ do: 'move-target', targetId: 't-l', from: 'staging', to: 'failed', reason }])],
  ['two decisions for target t-l', one(loading), made([move(loading, 'failed'), { do: 'note-target', targetId: 't-l', set: {}, reason }])],
  ['note-target on target t-x, which the view does not hold', aView(), made([{ do: 'note-target', targetId: 't-x', set: {}, reason }])],
  ['target t-r is moved while its attempt is open', one(running), made([move(running, 'failed')])],
  ['a second attempt for target t-r', one(running), made([order('t-r')])],
  ['a second attempt for host p', one({ ...pending, hostBusy: true }), made([order('t-p')])],
  ['a second attempt for host p', aView({ candidates: [pending, { ...pending, id: 't-q' }] }), made([order('t-p'), order('t-q')])],
  ['revert for target t-p, which is pending', one(pending), made([order('t-p', 'revert')])],
  ['target t-p starts before its time', one({ ...pending, notBefore: noon + 1 }), made([order('t-p')])],
  ['an attempt for target t-l while its last outcome is unused', one({ ...loading, attemptUsed: false }), made([order('t-l')])],
  ['attempt a-apply is rung and is not ordered', one(running), made([{ do: 'ring-attempt', attemptId: 'a-apply' }], ['t-r'])],
  ['attempt a-apply is abandoned while it may be under way', one(running), made([{ do: 'abandon-attempt', attemptId: 'a-apply', targetId: 't-r', reason }])],
  ['1 hosts start while the rollout is held', one(pending, { state: 'held' }), made([order('t-p')])],
  ['1 hosts start while the rollout moves to held', one(pending), made([order('t-p'), { do: 'move-rollout', to: 'held', reason }])],
  ['1 hosts start after 1 went bad, 0 are allowed', one(pending, { waves: [aWave(0, 'running', { pending: 1, failed: 1 })] }), made([order('t-p')])],
  ['1 hosts start after 1 went bad, 0 are allowed', aView({ active: [loading], candidates: [pending] }), made([move(loading, 'failed'), order('t-p')])],
  ['target t-p starts in a wave that is pending', one(pending, { waves: [aWave(0, 'pending', { pending: 1 })] }), made([order('t-p')])],
  ['1 hosts are on their way with build b1, 0 may be', one(pending, { builds: [aBuild('b1', { pending: 1, failed: 1 }, { forgiven: 1, stopped: reason })] }), made([order('t-p')])],
  ['1 hosts are on their way with build b1, 0 may be', one(pending, { builds: [aBuild('b1', { pending: 1 }, { halted: reason })] }), made([order('t-p')])],
  ['1 hosts are on their way with build b1, 0 may be', one(pending, { builds: [aBuild('b1', { pending: 1 }, { proven: false, elsewhere: 1 })] }), made([order('t-p')])],
  ['2 hosts are on their way with build b1, 1 may be', aView({ candidates: [pending, aTarget('q', 'pending')], builds: [aBuild('b1', { pending: 2 }, { proven: false })] }), made([order('t-p'), order('t-q')])],
  ['2 hosts are on their way with build b1, 1 may be', aView({ active: [{ ...loading, waveId: 'w1' }], candidates: [{ ...pending, waveId: 'w1' }], waves: [aWave(0, 'passed', { skipped: 1 }), aWave(1, 'running', { pending: 1, loading: 1 })] }), made([order('t-p')])],
  ['1 hosts start with build b1, which this plan stops', one(pending), made([{ do: 'stop-build', buildId: 'b1', reason }, order('t-p')])],
  ['build b9 is stopped twice, or is none of the view', aView(), made([{ do: 'stop-build', buildId: 'b9', reason }])],
  ['the rollout succeeds while a build of it is stopped', aView({ waves: [aWave(0, 'passed', { failed: 1 })], builds: [aBuild('b1', { failed: 1 }, { stopped: reason })] }), made([{ do: 'move-rollout', to: 'succeeded', reason }])],
  ['2 hosts in flight, 1 are allowed', aView({ candidates: [pending, aTarget('q', 'pending')], strategy: { inFlightMax: 1 } }), made([order('t-p'), order('t-q')])],
  ['2 attempts at once, 1 are allowed', aView({ state: 'reverting', active: [aTarget('a', 'reverting'), aTarget('b', 'reverting')], strategy: { inFlightMax: 1 } }), made([order('t-a', 'revert'), order('t-b', 'revert')])],
  ['wave w0 may not move from running to pending', aView({ waves: [aWave(0, 'running', {})] }), made([{ do: 'move-wave', waveId: 'w0', to: 'pending', reason }])],
  ['wave w0 passes while hosts of it are under way', aView({ waves: [aWave(0, 'running', { baking: 1 })] }), made([{ do: 'move-wave', waveId: 'w0', to: 'passed', reason }])],
  ['wave w1 starts before an earlier one has passed', aView({ waves: [aWave(0, 'baking', {}), aWave(1, 'pending', {})] }), made([{ do: 'move-wave', waveId: 'w1', to: 'running', reason }])],
  ['a decision on wave w9, which the view does not hold', aView(), made([{ do: 'move-wave', waveId: 'w9', to: 'running', reason }])],
  ['the rollout may not move from running to draft', aView(), made([{ do: 'move-rollout', to: 'draft', reason }])],
  ['the rollout ends as succeeded while 1 hosts are under way', one(running, { waves: [aWave(0, 'passed', { loading: 1 })] }), made([{ do: 'move-rollout', to: 'succeeded', reason }], ['t-r'])],
  ['the rollout succeeds before every wave has passed', aView({ waves: [aWave(0, 'running', {})] }), made([{ do: 'move-rollout', to: 'succeeded', reason }])],
  ['pending targets are cancelled while the rollout is running', aView(), made([{ do: 'cancel-pending', reason }])],
  ['target t-p is left alone without a reason', one(pending), made([])],
  ['target t-p is decided on and waits', one(pending), made([order('t-p')], ['t-p'])],
  ['target t-p waits on two things', one(pending), made([], ['t-p', 't-p'])],
  ['"No Code" is no reason code', one(pending), { decisions: [], waitingOn: [{ targetId: 't-p', reason: { code: 'No Code', says: 'A sentence.' } }], wakeAt: null }],
  ['the reason SPEC is no sentence: ""', one(pending), { decisions: [], waitingOn: [{ targetId: 't-p', reason: { code: 'SPEC', says: '' } }], wakeAt: null }],
  [`it wants to be woken at ${noon}, which is past`, aView(), made([], [], noon)],
  [`target t-b is due at ${noon + 5}, and the plan sleeps until null`, one(aTarget('b', 'baking', { bakeUntil: noon + 5 })), made([], ['t-b'])],
  [`target t-b is due at ${noon + 5}, and the plan sleeps until ${noon + 9}`, one(aTarget('b', 'baking', { bakeUntil: noon + 5 })), made([], ['t-b'], noon + 9)],
]

describe('the linter of plans', () => {
  it.each(faults)('finds: %s', (fault, view, unsound) => { expect(lintPlan(view, unsound, noon)).toContain(fault) })

  it('finds nothing in the plans of the same views', () => {
    for (const [, view] of faults) {
      if (new Set(view.candidates.map((target) => target.hostId)).size < view.candidates.length) continue
      expect(lintPlan(view, plan(view, noon), noon)).toEqual([])
    }
  })

  it('costs what is in flight: a plan for 5,000 hosts in flight and 5,000 candidates takes well under a second', () => {
    const active = Array.from({ length: 5_000 }, (_, i) => aTarget(`a${i}`, 'transitioning', { touched: true, ...ended('apply', anOutcome('patched')) }))
    const candidates = Array.from({ length: 5_000 }, (_, i) => aTarget(`p${i}`, 'pending'))
    const view = aView({ active, candidates, strategy: { inFlightMax: 10_000 } })
    const from = performance.now()
    const big = plan(view, noon)
    expect(performance.now() - from).toBeLessThan(1_000)
    expect(big.decisions.length).toBe(10_000)
    expect(lintPlan(view, big, noon)).toEqual([])
  })
})
