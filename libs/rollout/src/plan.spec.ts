// Stories of one plan at a time: what is seen, what is decided, and what is said.
import { describe, expect, it } from 'vitest'
import { type Decision, lintPlan, type Plan, plan, type PlanRules, defaultRules, ringAgainMs, type RolloutView, type TargetView } from './index.js'
import { aBuild, anAttempt, anOutcome, aTarget, aView, aWave, ended, noon } from './testing/views.js'

/** Every story's plan is linted. */
function planned(view: RolloutView, now = noon, rules?: PlanRules): Plan {
  const made = plan(view, now, rules)
  expect(lintPlan(view, made, now)).toEqual([])
  return made
}

const line = (one: Decision): string => {
  switch (one.do) {
    case 'move-target': return `${one.targetId}: ${one.from} → ${one.to} (${one.reason.code})`
    case 'note-target': return `${one.targetId} noted (${one.reason.code})`
    case 'order-attempt': return `${one.targetId}: ${one.kind} (${one.reason.code})`
    case 'move-wave': return `${one.waveId} → ${one.to}`
    case 'move-rollout': return `rollout → ${one.to} (${one.reason.code})`
    case 'abandon-attempt': return `${one.attemptId} abandoned (${one.reason.code})`
    case 'ring-attempt': return `${one.attemptId} rung again`
    case 'stop-build': return `${one.buildId} stopped (${one.reason.code})`
    case 'halt-artefact': return `${one.buildId} halted for ${one.suspectId} (${one.reason.code})`
    case 'cancel-pending': return `pending cancelled (${one.reason.code})`
  }
}
const lines = (made: Plan): string[] => made.decisions.map(line)
const waits = (made: Plan): string[] => made.waitingOn.map((one) => `${one.targetId}: ${one.reason.code}`)
const setOf = (made: Plan, id: string) => made.decisions.flatMap((one) => ('targetId' in one && one.targetId === id && 'set' in one ? [one.set] : []))[0]
const pendings = (count: number, parts: Partial<TargetView> = {}): TargetView[] => Array.from({ length: count }, (_, i) => aTarget(`p${i}`, 'pending', parts))
const patched = (name: string, parts: Partial<TargetView> = {}): TargetView => aTarget(name, 'transitioning', { touched: true, ...ended('apply', anOutcome('patched')), ...parts })

describe('starting', () => {
  it('begins a scheduled rollout, then its canary, then its hosts', () => {
    const candidates = pendings(2)
    expect(lines(planned(aView({ state: 'scheduled', candidates, waves: [aWave(0, 'pending', { pending: 2 })] })))).toEqual(['rollout → running (START)'])
    expect(lines(planned(aView({ candidates, waves: [aWave(0, 'pending', { pending: 2 })] })))).toEqual(['w0 → running'])
    expect(lines(planned(aView({ candidates })))).toEqual(['t-p0: apply (START)', 't-p1: apply (START)'])
  })

  it('says of a draft that it has not been started', () => { expect(waits(planned(aView({ state: 'draft', candidates: pendings(1) })))).toEqual(['t-p0: not-started']) })

  it('keeps to the budget, counting every host in flight, whatever it does', () => {
    const active = [aTarget('a', 'baking', { touched: true, bakeUntil: noon + 5 }), aTarget('b', 'pending', { attempt: anAttempt('apply', 'ordered') }), aTarget('c', 'lost', { touched: true, notBefore: noon + 9 })]
    const made = planned(aView({ active, candidates: pendings(3), waves: [aWave(0, 'running', { baking: 1, pending: 4, lost: 1 })], strategy: { inFlightMax: 4, errorsMax: 5 }, forgiven: 1 }))
    expect(lines(made)).toEqual(['t-p0: apply (START)'])
    expect(waits(made).slice(-2)).toEqual(['t-p1: budget', 't-p2: budget'])
  })

  it('does not count a look at a host that is in flight twice', () => {
    const active = [aTarget('a', 'baking', { touched: true, bakeUntil: noon })]
    expect(lines(planned(aView({ active, candidates: pendings(1), strategy: { inFlightMax: 2 } })))).toEqual(['t-a: look (BAKED)', 't-p0: apply (START)'])
  })

  it('starts no later wave before the one before has passed', () => {
    const waves = [aWave(0, 'baking', { baking: 1 }), aWave(1, 'pending', { pending: 9 })]
    const made = planned(aView({ active: [aTarget('a', 'baking', { touched: true, bakeUntil: noon + 60_000 })], candidates: [], waves, pending: 9 }))
    expect([lines(made), made.wakeAt]).toEqual([[], noon + 60_000])
    expect(lines(planned(aView({ waves: [aWave(0, 'baking', { succeeded: 1 }), aWave(1, 'pending', { pending: 9 })], pending: 9 })))).toEqual(['w0 → passed'])
    expect(lines(planned(aView({ waves: [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'pending', { pending: 9 })], pending: 9 })))).toEqual(['w1 → running'])
  })

  it('passes a wave whose hosts were all skipped', () => { expect(lines(planned(aView({ waves: [aWave(0, 'running', { skipped: 3 })] })))).toEqual(['w0 → passed']) })

  it('waits for a host that another rollout is at work on', () => {
    const made = planned(aView({ candidates: pendings(1, { hostBusy: true }), active: [aTarget('a', 'baking', { touched: true, bakeUntil: noon, hostBusy: true })] }))
    expect([lines(made), waits(made), made.wakeAt]).toEqual([[], ['t-a: host-busy', 't-p0: host-busy'], noon + 5_000])
  })

  it('starts one host at a time when hosts in flight count as failures and none is allowed', () => {
    const made = planned(aView({ candidates: pendings(3), strategy: { countInFlight: true, errorsMax: 0 } }))
    expect([lines(made), waits(made)]).toEqual([['t-p0: apply (START)'], ['t-p1: budget', 't-p2: budget']])
  })

  it('holds when hosts in flight count as failures and every error is used up, since nothing could ever start again', () => {
    const view = aView({ candidates: pendings(3), waves: [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'running', { failed: 2, pending: 3 })], strategy: { countInFlight: true, errorsMax: 2 } })
    expect(lines(planned(view))).toEqual(['rollout → held (ERRORS)'])
    expect(lines(planned({ ...view, strategy: { ...view.strategy, countInFlight: false } }))).toEqual([])
  })
})

describe('what shares something', () => {
  const rack = (name: string, parts: Partial<TargetView> = {}): TargetView => aTarget(name, 'pending', { groups: ['rack=r1'], ...parts })

  it('starts no more hosts of a group than the strategy allows, and goes on with others', () => {
    const made = planned(aView({ candidates: [rack('a'), rack('b'), aTarget('c', 'pending')], strategy: { groups: [{ label: 'rack', max: 1 }] } }))
    expect([lines(made), waits(made)]).toEqual([['t-a: apply (START)', 't-c: apply (START)'], ['t-b: group']])
    const busy = planned(aView({ active: [aTarget('z', 'baking', { touched: true, bakeUntil: noon + 9, groups: ['rack=r1'] })], candidates: [rack('a')], strategy: { groups: [{ label: 'rack', max: 1 }] } }))
    expect([lines(busy), waits(busy)]).toEqual([[], ['t-z: baking', 't-a: group']])
  })

  it('never has two hosts of a quorum in flight, here or in another rollout', () => {
    const member = (name: string, parts: Partial<TargetView> = {}): TargetView => aTarget(name, 'pending', { quorum: 'etcd', ...parts })
    const made = planned(aView({ candidates: [member('a'), member('b')] }))
    expect([lines(made), waits(made)]).toEqual([['t-a: apply (START)'], ['t-b: quorum']])
    const elsewhere = planned(aView({ candidates: [member('a', { quorumBusy: true })] }))
    expect([lines(elsewhere), waits(elsewhere), elsewhere.wakeAt]).toEqual([[], ['t-a: quorum'], noon + 5_000])
    expect(waits(planned(aView({ candidates: pendings(1, { outrankedBy: 'urgent' }) })))).toEqual(['t-p0: priority'])
  })

  it('keeps to the places that the installation leaves', () => {
    const made = planned(aView({ candidates: pendings(3), room: 2 }))
    expect([lines(made).length, waits(made), made.wakeAt]).toEqual([2, ['t-p2: fleet-budget'], noon + 5_000])
  })
})

describe('a schedule', () => {
  const schedule = { startAt: null, windows: [], blackouts: [] }
  const shut = { open: false, changesAt: noon + 3_600_000, says: 'Outside every window.' }

  it('keeps hosts and whole rollouts from starting outside its windows, says so, and wakes when one opens', () => {
    const waiting = planned(aView({ state: 'scheduled', candidates: pendings(1), strategy: { schedule }, window: shut }))
    expect([lines(waiting), waits(waiting), waiting.wakeAt]).toEqual([[], ['t-p0: window'], noon + 3_600_000])
    const running = planned(aView({ candidates: pendings(1, { tries: 1, notBefore: noon - 1 }), strategy: { schedule }, window: shut }))
    expect([lines(running), waits(running), running.wakeAt]).toEqual([[], ['t-p0: window'], noon + 3_600_000])
    expect(lines(planned(aView({ candidates: pendings(1), strategy: { schedule }, window: { ...shut, open: true } })))).toEqual(['t-p0: apply (START)'])
  })

  it('is overridden until a moment, and not a moment longer', () => {
    const view = { candidates: pendings(1), strategy: { schedule }, window: shut }
    expect(lines(planned(aView({ ...view, overrideUntil: noon + 1 })))).toEqual(['t-p0: apply (START)'])
    expect(waits(planned(aView({ ...view, overrideUntil: noon })))).toEqual(['t-p0: window'])
  })

  it('that nobody worked out is closed', () => { expect(waits(planned(aView({ candidates: pendings(1), strategy: { schedule } })))).toEqual(['t-p0: window']) })

  it('does not keep hosts in flight from their end, nor from going back', () => {
    const active = [patched('a'), aTarget('b', 'reverting', { touched: true })]
    expect(lines(planned(aView({ state: 'reverting', active, strategy: { schedule }, window: shut })))).toEqual(['t-a: transitioning → patched (PATCHED)', 't-b: revert (REVERT)'])
    expect(lines(planned(aView({ active: [patched('a')], strategy: { schedule }, window: shut })))).toEqual(['t-a: transitioning → patched (PATCHED)'])
  })
})

describe('a build', () => {
  const waves = [aWave(0, 'passed', { skipped: 1 }), aWave(1, 'running', { pending: 3 })]

  it('that nobody has run starts on one host, and on none while another rollout tries it', () => {
    const made = planned(aView({ candidates: pendings(2), builds: [aBuild('b1', { pending: 2 }, { proven: false })] }))
    expect([lines(made), waits(made)]).toEqual([['t-p0: apply (START)'], ['t-p1: first-use']])
    const second = planned(aView({ candidates: pendings(1), builds: [aBuild('b1', { pending: 1 }, { proven: false, elsewhere: 1 })] }))
    expect([waits(second), second.wakeAt]).toEqual([['t-p0: first-use'], noon + 5_000])
  })

  it('whose canary told nothing goes one host at a time until one has succeeded', () => {
    const candidates = pendings(3, { waveId: 'w1' })
    expect(lines(planned(aView({ candidates, waves })))).toEqual(['t-p0: apply (START)'])
    expect(lines(planned(aView({ candidates, waves: [waves[0]!, aWave(1, 'running', { pending: 3, succeeded: 1 })] })))).toHaveLength(3)
  })

  const two = { builds: [aBuild('b1', { failed: 1, pending: 4 }), aBuild('b2', { succeeded: 1, pending: 4 }, { kernel: '6.12.0-1' })], waves: [aWave(0, 'running', { failed: 1, succeeded: 1 }), aWave(1, 'pending', { pending: 8 })] }

  it('that went bad in the canary stops, and the other goes on', () => {
    expect(lines(planned(aView({ ...two, pending: 8 })))).toEqual(['b1 stopped (ERRORS)', 'w0 → passed'])
    const stopped = { code: 'ERRORS', says: 'It went bad.' }
    const builds = [{ ...two.builds[0]!, stopped }, two.builds[1]!]
    const later = [aWave(0, 'passed', { failed: 1, succeeded: 1 }), { ...aWave(1, 'running', { pending: 8 }), heldBack: 4 }]
    const made = planned(aView({ builds, waves: later, candidates: [...pendings(2, { waveId: 'w1', buildId: 'b2' }), aTarget('x', 'pending', { waveId: 'w1' })], pending: 8 }))
    expect([lines(made), waits(made)]).toEqual([['t-p0: apply (START)', 't-p1: apply (START)'], ['t-x: build-stopped']])
  })

  it('that stopped lets the next wave begin, and holds the rollout in the end', () => {
    const stopped = { code: 'ERRORS', says: 'It went bad.' }
    const builds = [{ ...two.builds[0]!, stopped }, aBuild('b2', { succeeded: 5, pending: 3 }, { kernel: '6.12.0-1' })]
    const middle = [aWave(0, 'passed', { failed: 1 }), { ...aWave(1, 'baking', { succeeded: 4, pending: 2 }), heldBack: 2 }, { ...aWave(2, 'pending', { pending: 5 }), heldBack: 2 }]
    expect(lines(planned(aView({ builds, waves: middle, pending: 7 })))).toEqual(['w2 → running'])
    const done = [{ ...two.builds[0]!, stopped }, aBuild('b2', { succeeded: 5 }, { kernel: '6.12.0-1' })]
    const last = planned(aView({ builds: done, waves: [aWave(0, 'passed', { failed: 1 }), { ...aWave(1, 'running', { succeeded: 5, pending: 4 }), heldBack: 4 }], pending: 4 }))
    expect(lines(last)).toEqual(['rollout → held (ERRORS)'])
  })

  it('and a second one that went bad make the patch the suspect', () => {
    const builds = [aBuild('b1', { failed: 1, pending: 1 }), aBuild('b2', { failed: 1, pending: 1 }), aBuild('b3', { pending: 9 })]
    expect(lines(planned(aView({ builds, waves: [aWave(0, 'running', { failed: 2, pending: 11 })], pending: 11 })))).toEqual(['b1 stopped (ERRORS)', 'b2 stopped (ERRORS)', 'rollout → held (ERRORS)'])
  })

  it('that stopped is taken back when the strategy says so, while the rollout runs on', () => {
    const builds = [aBuild('b1', { failed: 1, baking: 1 }, { stopped: { code: 'ERRORS', says: 'It went bad.' } }), aBuild('b2', { baking: 1 })]
    const made = planned(aView({ builds, strategy: { onFailure: 'revert-wave' }, waves: [aWave(0, 'running', { failed: 1, baking: 2 })], revertible: [aTarget('f', 'failed', { touched: true })],
      active: [aTarget('a', 'baking', { touched: true, bakeUntil: noon + 9 }), aTarget('b', 'baking', { buildId: 'b2', touched: true, bakeUntil: noon + 9 })] }))
    expect([lines(made), waits(made)]).toEqual([['t-a: baking → reverting (REVERT)', 'w0 → baking', 't-f: failed → reverting (REVERT)'], ['t-b: baking']])
  })

  it('whose artefact is halted takes back a start that no worker has begun', () => {
    const halted = { code: 'REBOOTED', says: 'h rebooted.' }
    const made = planned(aView({ active: [aTarget('a', 'pending', { tries: 1, attempt: anAttempt('apply', 'ordered') })], builds: [aBuild('b1', { pending: 1 }, { halted })] }))
    expect(lines(made)).toEqual(['a-apply abandoned (NOT_STARTED)'])
  })
})

describe('limits of their own', () => {
  const waves = (counts: Record<string, number>) => [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'running', counts)]
  const held = (counts: Record<string, number>, limits: RolloutView['strategy']['limits'], forgiven = 0): string[] => lines(planned(aView({ waves: waves(counts), forgiven, strategy: { errorsMax: 100, limits: limits ?? {} } }))).slice(0, 1)

  it('count failed, stalled and lost hosts apart, and percentages only of enough attempted hosts', () => {
    expect(held({ failed: 2, pending: 5 }, { failed: { max: 1 } })).toEqual(['rollout → held (ERRORS)'])
    expect(held({ failed: 2, pending: 5 }, { failed: { max: 2 }, lost: { max: 0 } })).toEqual([])
    expect(held({ stalled: 3, pending: 5 }, { stalled: { max: 2 } })).toEqual(['rollout → held (ERRORS)'])
    expect(held({ failed: 2, succeeded: 10, pending: 9 }, { failed: { percent: 5 } })).toEqual([])
    expect(held({ failed: 2, succeeded: 27, pending: 9 }, { failed: { percent: 5 } })).toEqual(['rollout → held (ERRORS)'])
    expect(held({ failed: 2, pending: 5 }, { failed: { max: 1 } }, 1)).toEqual([])
  })

  it('say what was counted against what', () => {
    const [one] = planned(aView({ waves: waves({ failed: 2, succeeded: 27, pending: 9 }), strategy: { errorsMax: 100, limits: { failed: { percent: 5 } } } })).decisions
    expect(one).toMatchObject({ reason: { says: '2 of 30 attempted hosts are failed; at most 1 may be (5 %). Nothing new starts until a person resumes.' } })
  })
})

describe('a host that goes well', () => {
  it('is patched when the kernel says so, watched, looked at once more, and only then succeeds', () => {
    expect(lines(planned(aView({ active: [patched('a')] })))).toEqual(['t-a: transitioning → patched (PATCHED)'])
    const baking = planned(aView({ active: [aTarget('a', 'patched', { touched: true })], strategy: { bakeMs: 600_000 } }))
    expect([lines(baking)[0], setOf(baking, 't-a')?.bakeUntil, baking.wakeAt]).toEqual(['t-a: patched → baking (BAKING)', noon + 600_000, noon + 600_000])
    expect(lines(planned(aView({ active: [aTarget('a', 'baking', { touched: true, bakeUntil: noon })] })))).toContain('t-a: look (BAKED)')
    expect(lines(planned(aView({ active: [aTarget('a', 'baking', { touched: true, bakeUntil: noon, ...ended('look', anOutcome('healthy')) })] })))).toContain('t-a: baking → succeeded (HEALTHY)')
  })

  it('is asked at the moments of the strategy while it is watched, and once more at the end', () => {
    const strategy = { bakeMs: 600_000, checkAtMs: [60_000, 300_000, 900_000] }
    const begins = planned(aView({ active: [aTarget('a', 'patched', { touched: true })], strategy }))
    expect([setOf(begins, 't-a')?.bakeUntil, setOf(begins, 't-a')?.notBefore, begins.wakeAt]).toEqual([noon + 600_000, noon + 60_000, noon + 60_000])
    const due = aTarget('a', 'baking', { touched: true, bakeUntil: noon + 540_000, notBefore: noon })
    expect(lines(planned(aView({ active: [due], strategy })))).toContain('t-a: look (CHECK)')
    const well = planned(aView({ active: [{ ...due, notBefore: null, ...ended('look', anOutcome('healthy')) }], strategy }))
    expect([lines(well)[0], setOf(well, 't-a')?.notBefore]).toEqual(['t-a noted (CHECKED)', noon + 240_000])
    const bad = planned(aView({ active: [{ ...due, notBefore: null, ...ended('look', anOutcome('unhealthy', { code: 'KERNEL_WARNING' })) }], strategy }))
    expect(lines(bad)[0]).toBe('t-a: baking → failed (KERNEL_WARNING)')
  })

  it('is not patched when another boot says so', () => {
    expect(lines(planned(aView({ active: [patched('a', { bootIdBefore: 'boot-0' })] })))[0]).toBe('b1 halted for t-a (REBOOTED)')
  })

  it('ends the rollout with its wave', () => { expect(lines(planned(aView({ waves: [aWave(0, 'passed', { succeeded: 2 })] })))).toEqual(['rollout → succeeded (DONE)']) })
})

describe('the threshold', () => {
  const failing = (name: string, waveId: string): TargetView => aTarget(name, 'loading', { touched: true, waveId, ...ended('apply', anOutcome('failed')) })
  const later = { waves: [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'running', { loading: 1, pending: 2 })] }

  it('starts nothing along with the finding that breaks it, and holds in the next round', () => {
    const candidates = pendings(2, { waveId: 'w1' })
    const first = planned(aView({ ...later, active: [failing('a', 'w1')], candidates }))
    expect([lines(first), waits(first)]).toEqual([['t-a: loading → failed (SYMBOL_MISMATCH)'], ['t-p0: threshold', 't-p1: threshold']])
    const next = planned(aView({ waves: [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'running', { failed: 1, pending: 2 })], candidates }))
    expect(lines(next)).toEqual(['rollout → held (ERRORS)', 'w1 → failed'])
  })

  it('lets as many go bad as it allows', () => {
    const made = planned(aView({ ...later, active: [failing('a', 'w1')], candidates: pendings(1, { waveId: 'w1' }), strategy: { errorsMax: 1 } }))
    expect(lines(made)).toEqual(['t-a: loading → failed (SYMBOL_MISMATCH)', 't-p0: apply (START)'])
  })

  it('allows none in the canary, whatever the limit', () => {
    const waves = [aWave(0, 'running', { failed: 1, pending: 1 }), aWave(1, 'pending', { pending: 5 })]
    const made = planned(aView({ waves, candidates: pendings(1), strategy: { errorsMax: 100 } }))
    expect(lines(made)).toEqual(['b1 stopped (ERRORS)', 'rollout → held (ERRORS)'])
    expect(made.decisions[0]).toMatchObject({ reason: { says: '1 of 1 attempted host on 6.1.0-9 went bad; the limit is 0 in the canary. Its hosts wait for a person; builds for other kernels go on.' } })
  })

  it('counts from what a person accepted by resuming', () => {
    const waves = [aWave(0, 'failed', { failed: 1, pending: 1 }), aWave(1, 'pending', { pending: 5 })]
    expect(lines(planned(aView({ waves, candidates: pendings(1), forgiven: 1 })))).toEqual(['w0 → running'])
  })

  it('counts a host out of contact after a load as bad', () => {
    const made = planned(aView({ active: [aTarget('a', 'lost', { touched: true, notBefore: noon + 1 })], candidates: pendings(1) }))
    expect(lines(made)).toEqual(['b1 stopped (ERRORS)', 'rollout → held (ERRORS)'])
  })

  it('takes the wave back when the strategy says so: hosts in flight at once, settled ones as there is room', () => {
    const held = { state: 'held', strategy: { onFailure: 'revert-wave', inFlightMax: 2 }, waves: [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'failed', { failed: 1, baking: 1, succeeded: 2 })] } as const
    const made = planned(aView({ ...held, active: [aTarget('b', 'baking', { touched: true, waveId: 'w1', bakeUntil: noon + 9 })], revertible: [aTarget('c', 'succeeded', { touched: true, waveId: 'w1' }), aTarget('d', 'succeeded', { touched: true, waveId: 'w1' })] }))
    expect([lines(made), waits(made)]).toEqual([['t-b: baking → reverting (REVERT)', 't-c: succeeded → reverting (REVERT)'], ['t-d: budget']])
  })

  it('takes everything back when the strategy says so', () => {
    expect(lines(planned(aView({ waves: [aWave(0, 'running', { failed: 1 })], strategy: { onFailure: 'revert-all' } })))).toEqual(['rollout → reverting (ERRORS)'])
  })
})

describe('a held rollout', () => {
  it('starts nothing, but takes outcomes, bakes, looks after stalls and finishes what is under way', () => {
    const active = [
      patched('a'), aTarget('b', 'patched', { touched: true }), aTarget('c', 'stalled', { touched: true, stall: { since: noon - 60_000, actsDone: [], lastActAt: noon - 60_000 } }),
      aTarget('d', 'loading', { touched: true, attempt: anAttempt('apply', 'abandoned') }),
    ]
    const made = planned(aView({ state: 'held', active, candidates: pendings(1) }))
    expect(lines(made)).toEqual(['t-a: transitioning → patched (PATCHED)', 't-b: patched → baking (BAKING)', 't-c: look (LOOK)', 't-d: apply (RESUME)'])
    expect(waits(made)).toEqual(['t-p0: held'])
  })

  it('passes no wave with more bad hosts than a person has accepted', () => {
    const waves = [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'running', { succeeded: 1, failed: 1 })]
    expect(lines(planned(aView({ state: 'held', waves })))).toEqual([])
    expect(lines(planned(aView({ state: 'held', waves, forgiven: 1 })))).toEqual(['w1 → passed'])
  })

  it('takes back a start that no worker has begun', () => {
    expect(lines(planned(aView({ state: 'held', active: [aTarget('a', 'pending', { tries: 1, attempt: anAttempt('apply', 'ordered') })] })))).toEqual(['a-apply abandoned (NOT_STARTED)'])
  })

  it('retries nothing', () => {
    const made = planned(aView({ state: 'held', candidates: pendings(1, { tries: 1, notBefore: noon - 1 }) }))
    expect([lines(made), waits(made)]).toEqual([[], ['t-p0: held']])
  })
})

describe('a cancelled rollout', () => {
  it('cancels what is pending and follows what is in flight to its end', () => {
    const active = [aTarget('a', 'transitioning', { touched: true, attempt: anAttempt('apply', 'running') }), aTarget('b', 'patched', { touched: true })]
    expect(lines(planned(aView({ state: 'cancelled', active, candidates: pendings(2) })))).toEqual(['t-b: patched → baking (BAKING)', 'pending cancelled (CANCELLED)'])
  })
})

describe('a rollout that is reverted', () => {
  const reverting = { state: 'reverting' as const }

  it('cancels what is pending or untouched, and takes back everything else, within the budget', () => {
    const active = [aTarget('a', 'checking', { attempt: anAttempt('apply', 'abandoned') }), aTarget('b', 'stalled', { touched: true }), aTarget('c', 'baking', { touched: true, bakeUntil: noon })]
    const made = planned(aView({ ...reverting, active, candidates: pendings(2), revertible: [aTarget('d', 'succeeded', { touched: true }), aTarget('e', 'failed', { touched: true })], strategy: { inFlightMax: 4 } }))
    expect(lines(made)).toEqual(['t-a: checking → cancelled (CANCELLED)', 't-b: stalled → reverting (REVERT)', 't-c: baking → reverting (REVERT)', 'pending cancelled (CANCELLED)', 't-d: succeeded → reverting (REVERT)'])
    expect(waits(made)).toEqual(['t-e: budget'])
  })

  it('orders the reverts, tries them again, and names the one that cannot be', () => {
    expect(lines(planned(aView({ ...reverting, active: [aTarget('a', 'reverting', { touched: true })] })))).toEqual(['t-a: revert (REVERT)'])
    const again = planned(aView({ ...reverting, active: [aTarget('a', 'reverting', { touched: true, ...ended('revert', anOutcome('failed', { code: 'UNREACHABLE' })) })] }))
    expect([lines(again), setOf(again, 't-a')?.looks, (setOf(again, 't-a')?.notBefore ?? 0) > noon]).toEqual([['t-a noted (UNREACHABLE)'], 1, true])
    expect(lines(planned(aView({ ...reverting, active: [aTarget('a', 'reverting', { touched: true, looks: 11, ...ended('revert', anOutcome('failed', { code: 'UNREACHABLE' })) })] })))).toEqual(['t-a: reverting → failed (REVERT_FAILED)'])
    expect(lines(planned(aView({ ...reverting, active: [aTarget('a', 'reverting', { touched: true, ...ended('revert', anOutcome('reverted')) })] })))).toEqual(['t-a: reverting → reverted (REVERTED)'])
  })

  it('never has more attempts open than hosts may be in flight, however many a person asked to revert', () => {
    const active = Array.from({ length: 5 }, (_, i) => aTarget(`r${i}`, 'reverting', { touched: true }))
    const made = planned(aView({ state: 'succeeded', active, strategy: { inFlightMax: 2 } }))
    expect([lines(made).length, waits(made)]).toEqual([2, ['t-r2: budget', 't-r3: budget', 't-r4: budget']])
  })

  it('looks for a lost host first, and does not take the word of a revert that leaves the patch active', () => {
    const lost = planned(aView({ ...reverting, active: [aTarget('a', 'lost', { touched: true, notBefore: noon + 9 })] }))
    expect([lines(lost), waits(lost), lost.wakeAt]).toEqual([[], ['t-a: lost'], noon + 9])
    expect(lines(planned(aView({ ...reverting, active: [aTarget('a', 'reverting', { touched: true, ...ended('revert', anOutcome('patched')) })] })))).toEqual(['t-a noted (STILL_ACTIVE)'])
  })

  it('wakes the blockers of a way back that stalls, and tries again', () => {
    const stalledBack = aTarget('a', 'reverting', { touched: true, ...ended('revert', anOutcome('stalled')) })
    expect(lines(planned(aView({ ...reverting, active: [stalledBack] })))).toEqual(['t-a noted (REVERT_STALLED)'])
    expect(lines(planned(aView({ ...reverting, active: [{ ...stalledBack, attemptUsed: true, looks: 1 }] })))).toEqual(['t-a: nudge (NUDGE)'])
    expect(lines(planned(aView({ ...reverting, active: [{ ...stalledBack, attemptUsed: true, looks: 1 }], strategy: { stall: { ...aView().strategy.stall, acts: [] } } })))).toEqual(['t-a: revert (REVERT)'])
    expect(lines(planned(aView({ ...reverting, active: [{ ...stalledBack, since: noon - 1_800_000 }] })))).toEqual(['t-a: reverting → failed (REVERT_FAILED)'])
  })

  it('ends as reverted, or as failed with the number of hosts that still hold the patch', () => {
    expect(lines(planned(aView({ ...reverting, waves: [aWave(0, 'passed', { reverted: 2 })] })))).toEqual(['rollout → reverted (REVERTED)'])
    expect(lines(planned(aView({ ...reverting, waves: [aWave(0, 'passed', { failed: 1 })], unreverted: 1 })))).toEqual(['rollout → failed (REVERT_INCOMPLETE)'])
    expect(lines(planned(aView({ ...reverting, revertible: [aTarget('a', 'failed', { touched: true })] })))).toEqual(['t-a: failed → reverting (REVERT)'])
  })
})

describe('attempts on their way', () => {
  it('are rung again when nobody claimed them in time', () => {
    const old = aTarget('a', 'pending', { attempt: anAttempt('apply', 'ordered', { rungAt: noon - ringAgainMs }) })
    expect(lines(planned(aView({ active: [old] })))).toEqual(['a-apply rung again'])
    const fresh = planned(aView({ active: [aTarget('a', 'pending', { attempt: anAttempt('apply', 'ordered') })] }))
    expect([lines(fresh), fresh.wakeAt]).toEqual([[], noon - 1_000 + ringAgainMs])
  })

  it('are abandoned when their worker is gone, and only then', () => {
    const running = aTarget('a', 'staging', { attempt: anAttempt('apply', 'running') })
    expect(waits(planned(aView({ active: [running] })))).toEqual(['t-a: attempt-running'])
    expect(lines(planned(aView({ active: [aTarget('a', 'staging', { attempt: anAttempt('apply', 'running', { leaseExpired: true }) })] })))).toEqual(['a-apply abandoned (WORKER_GONE)'])
  })
})

it('two reconcilers that see the same decide the same, byte for byte, whatever the error table', () => {
  const view = aView({ active: [patched('a'), aTarget('b', 'loading', { touched: true, ...ended('apply', anOutcome('failed', { code: 'LOCKED' })) })], candidates: pendings(5) })
  expect(JSON.stringify(planned(view))).toBe(JSON.stringify(planned(structuredClone(view))))
  const strict = planned(view, noon, { ...defaultRules, retryOf: () => 'never' })
  expect(lines(strict)).toContain('t-b: loading → failed (LOCKED)')
})

it('text from a host cannot draw on the terminal of an operator', () => {
  const hostile = anOutcome('failed', { detail: `\u001b[2J\u202Eevil\n${'x'.repeat(10_000)}` })
  const [one] = planned(aView({ active: [aTarget('a', 'loading', { touched: true, ...ended('apply', hostile) })] })).decisions
  const says = one && 'reason' in one ? one.reason.says : ''
  expect(says.length).toBeLessThanOrEqual(480)
  expect(says).not.toMatch(/[\u0000-\u001f\u202a-\u202e]/)
})
