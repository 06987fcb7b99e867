import { describe, expect, it } from 'vitest'
import { defaultStrategy, forecast, forecastSays, hostMsAssumed, makeWaves, type Strategy, type WaveHost } from './index.js'

const host = (i: number, kernel: string, labels: Record<string, string> = {}): WaveHost =>
  ({ hostId: `${kernel}-${i}`, name: `${kernel}-${String(i).padStart(4, '0')}`, kernel, buildId: `b-${kernel}`, arch: null, mechanism: null, state: 'reachable', labels })
const fleet = (n: number, kernel: string, labels?: (i: number) => Record<string, string>): WaveHost[] => Array.from({ length: n }, (_, i) => host(i, kernel, labels?.(i)))
const strategy: Strategy = { ...defaultStrategy, waves: [], canaryPerBuild: 2, inFlightMax: 10, bakeMs: 60_000 }
const round = hostMsAssumed + 60_000

describe('a forecast', () => {
  it('takes as many rounds as the budget, the groups and the quorums ask for', () => {
    const waves = makeWaves(fleet(102, 'k'), strategy)
    expect(forecast(waves, strategy, new Set(['b-k'])).lastsMs).toBe((1 + 10) * round)
    // The first host goes alone while nobody has run the build.
    expect(forecast(waves, strategy, new Set()).lastsMs).toBe((2 + 10) * round)
    const racks = makeWaves(fleet(102, 'k', (i) => ({ rack: `r${i % 2}` })), strategy)
    expect(forecast(racks, { ...strategy, groups: [{ label: 'rack', max: 1 }] }, new Set(['b-k'])).lastsMs).toBe((1 + 50) * round)
    expect(forecast(makeWaves(fleet(7, 'k', () => ({ quorum: 'q' })), strategy), strategy, new Set(['b-k'])).lastsMs).toBe((2 + 5) * round)
  })

  it('says whom a bad build harms: one host while nobody has run it, the canary of its kernel after that', () => {
    const waves = makeWaves([...fleet(100, 'a'), ...fleet(50, 'b')], strategy)
    const seen = forecast(waves, strategy, new Set(['b-a']), 0.1)
    expect(seen.builds).toEqual([{ kernel: 'a', buildId: 'b-a', hosts: 100, harmedMost: 2 }, { kernel: 'b', buildId: 'b-b', hosts: 50, harmedMost: 1 }])
    expect([seen.harmedExpected, seen.harmedExpectedWithout]).toEqual([expect.closeTo(0.3), expect.closeTo(15)])
    expect(forecastSays(seen)[1]).toBe('if a build is bad and its checks see it, at most 2 hosts of its kernel are harmed')
    expect(forecastSays(seen)[2]).toBe('with 10 % bad builds: 0.3 harmed hosts expected, 15 without a canary')
  })

  it('of nothing says nothing', () => { expect(forecastSays(forecast([], strategy, new Set()))).toEqual([]) })
})
