// Every outcome of every kind of attempt on a target in every state: no combination may stop the ring.
import { describe, expect, it } from 'vitest'
import { type AttemptKind, lintPlan, lostLooksMax, type Outcome, plan, type Plan, type RolloutState, type RolloutView, targetMeaning, type TargetState, type TargetView } from '../index.js'
import { anAttempt, anOutcome, aReading, aTarget, aView, ended, noon } from '../testing/views.js'

const kinds: readonly AttemptKind[] = ['apply', 'look', 'nudge', 'reverse', 'revert']
const states = Object.keys(targetMeaning) as TargetState[]
const codes = ['UNREACHABLE', 'LOCKED', 'TRANSITION_BUSY', 'SYMBOL_MISMATCH', 'NOT_ACTIVE', 'NOT_LOADED', 'CANCELLED', 'SOMETHING_NEW']
const outcomes: readonly Outcome[] = [
  anOutcome('patched'), anOutcome('healthy'), anOutcome('unhealthy'), anOutcome('stalled'), anOutcome('stalled', { transitionAgeMs: Number.NaN, tasks: { moved: 3, all: 3 }, blockers: [] }), anOutcome('reverted'), anOutcome('skipped'),
  ...codes.flatMap((code) => (['no', 'yes', 'unknown'] as const).map((touched) => anOutcome('failed', { code, touched }))),
  anOutcome('rebooted'), anOutcome('rebooted', { touched: 'no' }), anOutcome('patched', { reading: { ...aReading, bootId: 'another' } }),
]

function planned(view: RolloutView): Plan {
  const made = plan(view, noon)
  expect(lintPlan(view, made, noon)).toEqual([])
  return made
}

/** Plans again and again on one target until it moves no more or waits; what it became on the way. */
function followed(target: TargetView, state: RolloutState = 'running'): TargetState[] {
  const seen = [target.state]
  let at = target
  for (let round = 0; round < 12; round++) {
    const made = planned(aView({ state, active: [at] }))
    const mine = made.decisions.find((one) => 'targetId' in one && one.targetId === at.id)
    if (!mine || (mine.do !== 'move-target' && mine.do !== 'note-target')) return seen
    at = { ...at, ...mine.set, ...(mine.do === 'move-target' ? { state: mine.to, since: noon } : {}) } as TargetView
    if (mine.do === 'move-target') seen.push(mine.to)
    if (targetMeaning[at.state].settled || at.state === 'pending') return seen
  }
  throw new Error(`${target.state} does not come to rest: ${seen.join(' → ')}`)
}

const end = (state: TargetState, kind: AttemptKind, outcome: Outcome, parts: Partial<TargetView> = {}, rollout: RolloutState = 'running'): TargetState =>
  followed(aTarget('a', state, { ...ended(kind, outcome), ...parts }), rollout).at(-1) as TargetState

describe('any outcome on any state', () => {
  it('is taken into account, by legal edges, in sound plans, and comes to rest', () => {
    let taken = 0
    for (const rollout of ['running', 'held', 'cancelled', 'reverting', 'succeeded'] as const) {
      for (const state of states) for (const kind of kinds) for (const outcome of outcomes) for (const touched of [true, false]) for (const bakeUntil of [null, noon + 1]) {
        const target = aTarget('a', state, { touched, bakeUntil, bootIdBefore: touched ? 'boot-1' : null, ...ended(kind, outcome) })
        const view = aView({ state: rollout, active: [target] })
        const mine = planned(view).decisions.find((one) => 'targetId' in one && one.targetId === target.id)
        expect(mine, `${rollout} ${state} ${kind} ${JSON.stringify(outcome)}`).toBeDefined()
        followed(target, rollout)
        taken += 1
      }
    }
    expect(taken).toBe(5 * states.length * kinds.length * outcomes.length * 4)
  })

  it('never makes a success of anything but a kernel that says so', () => {
    for (const state of states) for (const kind of kinds) for (const outcome of outcomes) {
      if (outcome.kind === 'patched' || outcome.kind === 'healthy') continue
      const way = followed(aTarget('a', state, { touched: true, ...ended(kind, outcome) })).slice(1)
      expect(way.filter((one) => one === 'patched' || one === 'succeeded'), `${state} ${kind} ${outcome.kind}`).toEqual([])
    }
  })

  it('changes nothing on a target that is settled', () => {
    for (const state of states.filter((one) => targetMeaning[one].settled)) for (const kind of kinds) for (const outcome of outcomes) expect(end(state, kind, outcome)).toBe(state)
  })
})

describe('a failed load', () => {
  it('is tried again at growing pauses, each host at its own, until its tries are spent', () => {
    const pauses = [1, 2, 3].map((tries) => {
      const [one] = planned(aView({ active: [aTarget('a', 'loading', { tries, ...ended('apply', anOutcome('failed', { code: 'NO_MEMORY' })) })] })).decisions
      return one?.do === 'move-target' && one.to === 'pending' ? (one.set?.notBefore ?? 0) - noon : -1
    })
    expect(pauses[0]).toBeGreaterThanOrEqual(1_500)
    expect(pauses[0]).toBeLessThanOrEqual(2_000)
    expect(pauses[1]).toBeGreaterThanOrEqual(3_000)
    expect(pauses[2]).toBeGreaterThanOrEqual(6_000)
    expect(end('loading', 'apply', anOutcome('failed', { code: 'NO_MEMORY' }), { tries: 4 })).toBe('failed')
  })

  it('that cannot go better fails at once', () => { expect(end('loading', 'apply', anOutcome('failed'))).toBe('failed') })
  it('for want of contact is retried when nothing was touched', () => { expect(end('checking', 'apply', anOutcome('failed', { code: 'UNREACHABLE' }))).toBe('pending') })
})

describe('a host out of contact', () => {
  it('after a load is lost, looked for at growing pauses, and given up as a failure', () => {
    const gone = anOutcome('failed', { code: 'CONTACT_LOST', touched: 'unknown' })
    expect(end('loading', 'apply', gone)).toBe('lost')
    expect(end('baking', 'look', anOutcome('failed', { code: 'UNREACHABLE' }), { touched: true })).toBe('lost')
    expect(end('lost', 'look', anOutcome('failed', { code: 'UNREACHABLE' }), { touched: true, looks: lostLooksMax - 1 })).toBe('failed')
    const [one] = planned(aView({ active: [aTarget('a', 'lost', { touched: true, looks: lostLooksMax - 1, ...ended('look', anOutcome('failed', { code: 'UNREACHABLE' })) })] })).decisions
    expect(one).toMatchObject({ to: 'failed', reason: { code: 'UNREACHABLE_AFTER_LOAD' } })
  })

  it('that comes back goes on where it was', () => {
    expect(followed(aTarget('a', 'lost', { touched: true, ...ended('look', anOutcome('patched')) })).slice(0, 3)).toEqual(['lost', 'patched', 'baking'])
    expect(end('lost', 'look', anOutcome('healthy'), { touched: true, bakeUntil: noon + 5 })).toBe('baking')
    expect(end('lost', 'look', anOutcome('stalled'), { touched: true })).toBe('stalled')
  })

  it('that comes back without our module is tried again, as often as any other', () => {
    const absent = anOutcome('failed', { code: 'NOT_ACTIVE', touched: 'no' })
    expect([end('lost', 'look', absent, { touched: true, tries: 1 }), end('lost', 'look', absent, { touched: true, tries: 4 })]).toEqual(['pending', 'failed'])
  })

  it('that came back from a reboot has failed', () => { expect(end('lost', 'look', anOutcome('rebooted'), { touched: true })).toBe('failed') })
})

describe('a reboot', () => {
  it('after the load is a failure, before it another try, on the way back the end of it', () => {
    expect(end('transitioning', 'apply', anOutcome('rebooted'), { touched: true })).toBe('failed')
    expect(end('baking', 'look', anOutcome('rebooted'), { touched: true })).toBe('failed')
    expect(end('checking', 'apply', anOutcome('rebooted', { touched: 'no' }))).toBe('pending')
    expect(end('reverting', 'revert', anOutcome('rebooted'), { touched: true })).toBe('reverted')
  })
})

describe('a host that is watched', () => {
  it('fails when it is not well', () => { expect(end('baking', 'look', anOutcome('unhealthy'), { touched: true })).toBe('failed') })
  it('fails when the kernel is in transition again', () => { expect(end('baking', 'look', anOutcome('stalled'), { touched: true, bakeUntil: noon })).toBe('failed') })
  it('is looked at again when another session held it', () => {
    const locked = anOutcome('failed', { code: 'LOCKED' })
    expect(end('baking', 'look', locked, { touched: true, bakeUntil: noon })).toBe('baking')
    expect(end('baking', 'look', locked, { touched: true, bakeUntil: noon, looks: lostLooksMax - 1 })).toBe('failed')
  })
})

describe('a worker that died', () => {
  const cut = { attempt: anAttempt('apply', 'abandoned') }
  const first = (target: TargetView): string => {
    const [one] = planned(aView({ active: [target], waves: aView().waves })).decisions
    return one?.do === 'order-attempt' ? `order ${one.kind}` : one?.do === 'move-target' ? one.to : (one?.do ?? 'nothing')
  }

  it.each<[TargetState, boolean, string]>([
    ['checking', false, 'pending'], ['staging', false, 'pending'], ['loading', true, 'order apply'], ['transitioning', true, 'order apply'],
    ['baking', true, 'order look'], ['stalled', true, 'order look'], ['lost', true, 'note-target'], ['reverting', true, 'order revert'],
  ])('on a target that is %s (touched: %s) leads to: %s', (state, touched, wanted) => {
    expect(first(aTarget('a', state, { touched, bakeUntil: state === 'baking' ? noon : null, ...cut }))).toBe(wanted)
  })

  it('again and again ends in looks only', () => { expect(first(aTarget('a', 'loading', { touched: true, tries: 4, ...cut }))).toBe('lost') })
  it('on the way back is counted as a try', () => { expect(first(aTarget('a', 'reverting', { touched: true, attempt: anAttempt('revert', 'abandoned') }))).toBe('note-target') })
})
