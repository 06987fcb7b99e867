import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkStrategy, defaultStrategy, describePlan, makeWaves, sharesOf, spanOf, type Strategy, type WaveHost } from './index.js'

const host = (name: string, kernel: string, labels: Record<string, string> = {}): WaveHost =>
  ({ hostId: `id-${name}`, name, kernel, buildId: `build-${kernel}`, arch: 'x86_64', mechanism: 'klp-consistency', state: 'reachable', labels })
const fleet = (counts: Readonly<Record<string, number>>): WaveHost[] => Object.entries(counts).flatMap(([kernel, n]) => Array.from({ length: n }, (_, i) => host(`${kernel}-${String(i).padStart(3, '0')}`, kernel)))
const sizes = (waves: Strategy['waves'], hosts: readonly WaveHost[], canaryPerBuild = 1): number[] => makeWaves(hosts, { waves, canaryPerBuild }).map((wave) => wave.hosts.length)

describe('waves', () => {
  it('begin with a canary that holds hosts of every build, even where a percentage would miss one', () => {
    const [canary] = makeWaves(fleet({ '6.1': 990, '6.12': 9, '5.10': 1 }), { waves: [{ kind: 'percent', percent: 1 }], canaryPerBuild: 2 })
    expect(canary?.canary).toBe(true)
    expect(canary?.covers).toEqual([{ kernel: '5.10', buildId: 'build-5.10', hosts: 1 }, { kernel: '6.1', buildId: 'build-6.1', hosts: 2 }, { kernel: '6.12', buildId: 'build-6.12', hosts: 2 }])
    expect(canary?.why).toEqual(['5.10-000 stands for 1 host on 5.10', '6.1-000, 6.1-001 stand for 990 hosts on 6.1', '6.12-000, 6.12-001 stand for 9 hosts on 6.12'])
  })

  it('are cut by percent of all hosts, rounded up, or by count, and the rest goes last', () => {
    expect(sizes([{ kind: 'percent', percent: 10 }, { kind: 'percent', percent: 33.3 }], fleet({ a: 31 }))).toEqual([1, 4, 11, 15])
    expect(sizes([{ kind: 'count', hosts: 5 }], fleet({ a: 31 }))).toEqual([1, 5, 25])
    expect(sizes([{ kind: 'percent', percent: 100 }], fleet({ a: 3 }))).toEqual([1, 2])
    expect(sizes([], fleet({ a: 1 }))).toEqual([1])
    expect(sizes([], [])).toEqual([])
  })

  it('take the hosts that answer to a selector, and skip a wave of nobody', () => {
    const hosts = [host('a1', 'a', { stage: 'early' }), host('a2', 'a'), host('a3', 'a', { stage: 'early' }), host('a4', 'a', { stage: 'early' }), host('a5', 'a')]
    const waves = makeWaves(hosts, { waves: [{ kind: 'selector', selector: 'label.stage = early' }, { kind: 'selector', selector: 'label.stage = early' }], canaryPerBuild: 1 })
    expect(waves.map((wave) => wave.hosts.map((one) => one.name))).toEqual([['a1'], ['a3', 'a4'], ['a2', 'a5']])
    expect(waves[1]?.why).toEqual(['hosts that answer to label.stage = early'])
    expect(checkStrategy({ ...defaultStrategy, waves: [{ kind: 'selector', selector: 'label.stage =' }] })).toMatchObject([{ path: 'waves.0.selector' }])
  })

  it('have a canary for every role that the strategy names, also for hosts without one', () => {
    const hosts = [host('a1', 'a', { role: 'db' }), host('a2', 'a', { role: 'web' }), host('a3', 'a', { role: 'web' }), host('a4', 'a'), host('b1', 'b', { role: 'web' })]
    const [canary] = makeWaves(hosts, { waves: [], canaryPerBuild: 1, canaryLabels: ['role'] })
    expect(canary?.hosts.map((one) => one.name)).toEqual(['a4', 'a1', 'a2', 'b1'])
    expect(canary?.why[1]).toBe('a1 stands for 1 host on a, role db')
  })

  it('know what a host shares with others', () => {
    expect(sharesOf(host('a', 'k', { rack: 'r1', quorum: 'etcd' }), { groups: [{ label: 'rack', max: 1 }, { label: 'zone', max: 2 }] })).toEqual({ groups: ['rack=r1'], quorum: 'etcd' })
    expect(sharesOf(host('a', 'k'), {})).toEqual({ groups: [], quorum: null })
  })

  it('say when fewer hosts were left than asked for', () => {
    expect(makeWaves(fleet({ a: 3 }), { waves: [{ kind: 'count', hosts: 9 }], canaryPerBuild: 1 })[1]?.why).toEqual(['9 hosts as asked; only 2 hosts were left'])
  })

  it('meet every kernel in proportion', () => {
    const wave = makeWaves(fleet({ a: 81, b: 21 }), { waves: [{ kind: 'count', hosts: 50 }], canaryPerBuild: 1 })[1]
    expect(wave?.covers.map((one) => one.hosts)).toEqual([40, 10])
  })

  it('hold every host exactly once, in the same order whatever the order they came in', () => {
    fc.assert(fc.property(
      fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9]{1,6}$/), fc.constantFrom('5.10', '6.1', '6.12')), { selector: ([name]) => name, maxLength: 80 }),
      fc.array(fc.oneof(fc.record({ kind: fc.constant('count' as const), hosts: fc.integer({ min: 1, max: 30 }) }), fc.record({ kind: fc.constant('percent' as const), percent: fc.integer({ min: 1, max: 100 }) })), { maxLength: 5 }),
      fc.integer({ min: 1, max: 4 }), fc.integer(),
      (named, waves, canaryPerBuild, seed) => {
        const hosts = named.map(([name, kernel]) => host(name, kernel))
        const cut = makeWaves(hosts, { waves, canaryPerBuild })
        expect(cut.flatMap((wave) => wave.hosts.map((one) => one.name)).sort()).toEqual(hosts.map((one) => one.name).sort())
        expect(cut.every((wave, index) => wave.index === index && wave.canary === (index === 0) && wave.hosts.length > 0)).toBe(true)
        const met = new Set(hosts.map((one) => one.kernel))
        for (const kernel of met) {
          const all = hosts.filter((one) => one.kernel === kernel).length
          expect(cut[0]?.hosts.filter((one) => one.kernel === kernel).length).toBe(Math.min(all, canaryPerBuild))
        }
        const shuffled = [...hosts].sort((a, b) => ((a.name + seed) < (b.name + seed) ? 1 : -1))
        expect(makeWaves(shuffled, { waves, canaryPerBuild })).toEqual(cut)
      },
    ))
  })

  it('are cut for 100,000 hosts in well under a second', () => {
    const hosts = fleet({ a: 60_000, b: 39_999, c: 1 })
    const from = performance.now()
    expect(sizes(defaultStrategy.waves, hosts)).toEqual([3, 10_000, 40_000, 49_997])
    expect(performance.now() - from).toBeLessThan(2_000)
  })
})

describe('a plan in words', () => {
  it('prints waves, reasons, what failure does and who is left out', () => {
    const strategy: Strategy = { ...defaultStrategy, errorsMax: 2, waves: [{ kind: 'percent', percent: 50 }] }
    const skipped = [{ name: 'x', reason: { code: 'NO_BUILD', says: 'The patch has no build for 4.19.' } }, { name: 'y', reason: { code: 'NO_BUILD', says: 'The patch has no build for 4.19.' } }]
    expect(describePlan(makeWaves(fleet({ '6.1': 3, '6.12': 1 }), strategy), strategy, skipped)).toEqual([
      '4 hosts in 2 waves, at most 50 at once; each is watched for 10 min before it counts.',
      'Wave 1, the canary: 2 hosts (1 on 6.1, 1 on 6.12).',
      '  6.1-000 stands for 3 hosts on 6.1',
      '  6.12-000 stands for 1 host on 6.12',
      'Wave 2: 2 hosts (2 on 6.1).',
      '  50 % of 4 hosts',
      'When more than 2 hosts go bad, it holds, and nothing new starts until a person resumes.',
      'A build that goes bad in its canary stops at once; builds for other kernels go on.',
      'A transition older than 30 s is stalled: wait, then nudge, then reverse; after 30 min it is turned round.',
      'Left out, 2 hosts: The patch has no build for 4.19. (x, y)',
    ])
  })

  it('names a span in the largest unit that states it exactly', () => {
    expect([0, 1, 1_000, 90_000, 3_600_000, 172_800_000].map(spanOf)).toEqual(['0 ms', '1 ms', '1 s', '90 s', '1 h', '2 d'])
  })
})

describe('a strategy', () => {
  const faultsOf = (change: Partial<Strategy>): string[] => checkStrategy({ ...defaultStrategy, ...change }).map((one) => one.path)

  it('that is the default can be carried out', () => { expect(checkStrategy(defaultStrategy)).toEqual([]) })

  it.each<[string, Partial<Strategy>]>([
    ['canaryPerBuild', { canaryPerBuild: 0 }], ['canaryPerBuild', { canaryPerBuild: 1.5 }], ['inFlightMax', { inFlightMax: 0 }], ['inFlightMax', { inFlightMax: Number.NaN }],
    ['errorsMax', { errorsMax: -1 }], ['bakeMs', { bakeMs: -1 }], ['bakeMs', { bakeMs: Infinity }],
    ['waves.0.percent', { waves: [{ kind: 'percent', percent: 0 }] }], ['waves.0.percent', { waves: [{ kind: 'percent', percent: 101 }] }], ['waves.0.percent', { waves: [{ kind: 'percent', percent: Number.NaN }] }],
    ['waves.1.hosts', { waves: [{ kind: 'count', hosts: 1 }, { kind: 'count', hosts: 0 }] }],
    ['stall.afterMs', { stall: { ...defaultStrategy.stall, afterMs: 0 } }], ['stall.intervalMs', { stall: { ...defaultStrategy.stall, intervalMs: 0 } }],
    ['stall.intervalMaxMs', { stall: { ...defaultStrategy.stall, intervalMaxMs: 1 } }], ['stall.intervalMaxMs', { stall: { ...defaultStrategy.stall, intervalMaxMs: Number.NaN } }],
    ['stall.giveUpMs', { stall: { ...defaultStrategy.stall, giveUpMs: 29_999 } }],
    ['stall.acts', { stall: { ...defaultStrategy.stall, acts: ['reverse', 'wait'] } }], ['stall.acts', { stall: { ...defaultStrategy.stall, acts: Array.from({ length: 21 }, () => 'wait' as const) } }],
    ['retry.attemptsMax', { retry: { attemptsMax: 0, firstMs: 1, maxMs: 1 } }], ['retry.firstMs', { retry: { attemptsMax: 1, firstMs: 0, maxMs: 1 } }], ['retry.maxMs', { retry: { attemptsMax: 1, firstMs: 2, maxMs: 1 } }],
  ])('is refused for its %s: %j', (path, change) => { expect(faultsOf(change)).toEqual([path]) })
})
