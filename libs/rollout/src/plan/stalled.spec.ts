import { describe, expect, it } from 'vitest'
import { defaultStrategy, lintPlan, plan, type Strategy, type TargetView } from '../index.js'
import { anAttempt, anOutcome, aTarget, aView, aWave, ended, noon } from '../testing/views.js'

const { stall } = defaultStrategy
type Policy = Partial<Strategy['stall']>

/** Drives one stalled host through its policy by the clock; every look finds it stalled still. */
function story(policy: Policy, until: (target: TargetView) => boolean, limitMs = 3_600_000): string[] {
  const told: string[] = []
  let now = noon
  let target = aTarget('a', 'transitioning', { touched: true, ...ended('apply', anOutcome('stalled')) })
  while (!until(target) && now < noon + limitMs) {
    const view = aView({ state: 'running', active: [target], strategy: { stall: { ...stall, ...policy } } })
    const made = plan(view, now)
    expect(lintPlan(view, made, now)).toEqual([])
    const mine = made.decisions.find((one) => 'targetId' in one)
    const at = `${(now - noon) / 1000} s`
    if (mine?.do === 'order-attempt') {
      told.push(`${at}: ${mine.kind}`)
      target = { ...target, ...mine.set, attempt: anAttempt(mine.kind, 'done', { outcome: anOutcome('stalled') }), attemptUsed: false } as TargetView
    } else if (mine?.do === 'move-target' || mine?.do === 'note-target') {
      if (mine.do === 'move-target') told.push(`${at}: ${mine.to}`)
      target = { ...target, ...mine.set, ...(mine.do === 'move-target' ? { state: mine.to, since: now } : {}) } as TargetView
    } else {
      expect(made.wakeAt).toBeGreaterThan(now)
      now = made.wakeAt ?? Infinity
    }
  }
  return told
}

describe('a transition that stalls', () => {
  it('is looked at, nudged and turned round, at growing intervals', () => {
    expect(story({}, (target) => target.state === 'reverting')).toEqual(['0 s: stalled', '15 s: look', '45 s: nudge', '105 s: reverting'])
  })

  it('is only looked at when the policy says nothing else, until it gives up', () => {
    expect(story({ acts: [], giveUpMs: 400_000 }, (target) => target.state === 'reverting')).toEqual(['0 s: stalled', '15 s: look', '45 s: look', '105 s: look', '225 s: look', '370 s: reverting'])
  })

  it('has failed, and holds the rollout, when the policy gives up by holding, whatever the errors allowed', () => {
    const target = aTarget('a', 'stalled', { touched: true, waveId: 'w1', stall: { since: noon - stall.giveUpMs, actsDone: ['wait'], lastActAt: noon } })
    const view = aView({ active: [target], waves: [aWave(0, 'passed', { succeeded: 1 }), aWave(1, 'running', { stalled: 1, pending: 3 })], candidates: [aTarget('p', 'pending', { waveId: 'w1' })], strategy: { errorsMax: 9, stall: { ...stall, onGiveUp: 'hold' } } })
    const made = plan(view, noon)
    expect(lintPlan(view, made, noon)).toEqual([])
    expect(made.decisions).toMatchObject([{ do: 'move-target', to: 'failed', reason: { code: 'STALL_GIVEN_UP' } }, { do: 'move-rollout', to: 'held' }])
    expect(made.waitingOn).toMatchObject([{ targetId: 't-p', reason: { code: 'threshold' } }])
  })

  it('names its blockers, or the idle CPU when there are none', () => {
    const says = (outcome: Parameters<typeof ended>[1]): string => {
      const [one] = plan(aView({ active: [aTarget('a', 'transitioning', { touched: true, ...ended('apply', outcome) })] }), noon).decisions
      return one && 'reason' in one ? one.reason.says : ''
    }
    expect(says(anOutcome('stalled'))).toBe('3 of 100 tasks do not move: ftpd.')
    expect(says(anOutcome('stalled', { tasks: { moved: 90, all: 90 }, blockers: [] }))).toBe('All 90 tasks have moved; an idle CPU has not passed its idle loop yet.')
  })

  it('that ends by itself, or by a nudge, is patched', () => {
    for (const kind of ['look', 'nudge'] as const) {
      const [one] = plan(aView({ active: [aTarget('a', 'stalled', { touched: true, ...ended(kind, anOutcome('patched')) })] }), noon).decisions
      expect(one).toMatchObject({ do: 'move-target', to: 'patched', set: { stall: null } })
    }
  })

  it('does not grow its row, however long it lasts', () => {
    const actsDone = Array.from({ length: 40 }, () => 'wait' as const)
    const [one] = plan(aView({ active: [aTarget('a', 'stalled', { touched: true, stall: { since: noon - 900_000, actsDone, lastActAt: noon - 400_000 } })] }), noon).decisions
    expect(one).toMatchObject({ do: 'order-attempt', kind: 'look' })
    expect(one?.do === 'order-attempt' ? one.set?.stall?.actsDone.length : 0).toBe(40)
  })
})

describe('a stalled transition that is turned round', () => {
  const turned = (parts: Partial<TargetView>): TargetView => aTarget('a', 'reverting', { touched: true, stall: { since: noon - 90_000, actsDone: ['wait', 'nudge', 'reverse'], lastActAt: noon }, ...parts })
  const only = (target: TargetView, state: 'running' | 'reverting' = 'running') => plan(aView({ state, active: [target] }), noon).decisions[0]

  it('is ordered to turn, and has gone back when the kernel says so', () => {
    expect(only(turned({}))).toMatchObject({ do: 'order-attempt', kind: 'reverse' })
    expect(only(turned(ended('reverse', anOutcome('reverted'))))).toMatchObject({ to: 'reverted', set: { touched: false, stall: null } })
  })

  it('may stay patched when it completed just before', () => { expect(only(turned(ended('reverse', anOutcome('patched'))))).toMatchObject({ to: 'patched' }) })

  it('is reverted in full when the rollout is', () => { expect(only(turned({}), 'reverting')).toMatchObject({ do: 'order-attempt', kind: 'revert' }) })

  it('is reverted in full when a person asked for that host', () => {
    expect(only(turned({ stall: { since: noon, actsDone: ['wait'], lastActAt: noon } }))).toMatchObject({ do: 'order-attempt', kind: 'revert' })
  })
})
