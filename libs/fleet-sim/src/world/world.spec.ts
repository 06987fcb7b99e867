// The planner in a whole world, by seed. A failure names its seed; `SEED=n` runs that one alone.
import { afterAll, describe, expect, it } from 'vitest'
import { defaultStrategy, makeWaves, plan, type Strategy, targetMeaning, type WaveHost } from '@uptide/rollout'
import { type Host, newHost, type Temper } from './host-model.js'
import { type Chance, seeded } from '../seed.js'
import { type Faults, noFaults, World } from './world.js'

const seedsWanted = 300
const hostCount = 60
const only = process.env['SEED'] === undefined ? null : Number(process.env['SEED'])
const seeds = (count: number): number[] => (only === null ? Array.from({ length: count }, (_, i) => i + 1) : [only])

function eachSeed(count: number, story: (seed: number) => void): void {
  for (const seed of seeds(count)) {
    try { story(seed) } catch (error) { throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error }) }
  }
}

const kernels = ['5.10.0-1', '6.1.0-2', '6.12.0-3']
const tempers: readonly Temper[] = ['refuses', 'stalls', 'stalls-for-ever', 'nudgeable', 'reboots-on-load', 'silent-after-load', 'unhealthy', 'unfit', 'locked']

interface Fleet { readonly wanted: readonly WaveHost[]; readonly hosts: Map<string, Host> }

function fleetOf(chance: Chance, temperOf: (kernel: string) => Temper): Fleet {
  const hosts = new Map<string, Host>()
  const wanted = Array.from({ length: hostCount }, (_, i): WaveHost => {
    const name = `h${String(i).padStart(2, '0')}`
    const kernel = chance.pick(kernels)
    hosts.set(name, newHost(name, temperOf(kernel)))
    const labels = { ...(i % 3 === 0 ? { rack: `r${i % 7}` } : {}), ...(i % 5 === 0 ? { quorum: `q${i % 4}` } : {}) }
    return { hostId: name, name, kernel, buildId: `build-${kernel}`, arch: 'x86_64', mechanism: 'klp-consistency', state: 'reachable', labels }
  })
  return { wanted, hosts }
}

const strategyOf = (chance: Chance): Strategy => ({
  waves: chance.pick<Strategy['waves']>([[], [{ kind: 'percent', percent: 10 }, { kind: 'percent', percent: 40 }], [{ kind: 'count', hosts: 7 }]]),
  canaryPerBuild: chance.whole(1, 2), inFlightMax: chance.pick([1, 3, 8, 20, 100]), errorsMax: chance.pick([0, 1, 5, 100]), countInFlight: chance.happens(0.2),
  bakeMs: chance.pick([0, 5_000, 600_000]), checkAtMs: chance.pick([[], [60_000, 300_000]]),
  stall: { ...defaultStrategy.stall, acts: chance.pick<Strategy['stall']['acts']>([[], ['wait', 'nudge', 'reverse'], ['nudge'], ['reverse']]), giveUpMs: chance.pick([120_000, 1_800_000]), onGiveUp: chance.pick(['reverse', 'hold'] as const) },
  retry: { attemptsMax: chance.whole(1, 4), firstMs: 2_000, maxMs: 60_000 },
  onFailure: chance.pick(['hold', 'revert-wave', 'revert-all'] as const),
  groups: chance.happens(0.4) ? [{ label: 'rack', max: chance.whole(1, 3) }] : [], stoppedBuildsMax: chance.pick([0, 1, 3]), canaryLabels: chance.happens(0.2) ? ['rack'] : [],
  limits: chance.happens(0.3) ? { failed: { max: chance.whole(0, 5) }, lost: { percent: 10, minSample: 10 } } : {},
})

const stormy = (chance: Chance): Faults => ({
  workerDies: chance.pick([0, 0.02, 0.1]), workerSleeps: chance.pick([0, 0.05]), contactLost: chance.pick([0, 0.03, 0.1]), reboots: chance.pick([0, 0.01]),
  ringLost: chance.pick([0, 0.2]), ringDoubled: chance.pick([0, 0.3]), reportRingLost: chance.pick([0, 0.2, 1]), reconcilersOverlap: chance.pick([0, 0.3]), clockJumps: chance.pick([0, 0, 0.05]),
})

/** A person who resumes a few times, then cancels or reverts; and now and then acts out of turn. */
function stormyWorld(seed: number): World {
  const chance = seeded(seed)
  const strategy = strategyOf(chance)
  const rate = chance.pick([0, 0.1, 0.4])
  const { wanted, hosts } = fleetOf(chance, () => (chance.happens(rate) ? chance.pick(tempers) : 'sound'))
  let resumes = chance.whole(0, 30)
  let releases = chance.whole(0, 10)
  let reverted = false
  const world = new World({
    waves: makeWaves(wanted, strategy), strategy, hosts, faults: stormy(chance), chance,
    onStandstill: ({ store }) => {
      if ([...store.builds.values()].some((build) => build.halted) && (store.state === 'running' || store.state === 'held')) return releases-- > 0 ? 'release' : 'cancel'
      if (store.state === 'held') return resumes-- > 0 ? 'resume' : chance.pick(['cancel', 'revert'] as const)
      if (reverted || store.state === 'reverted' || !chance.happens(0.3)) return null
      reverted = true
      return 'revert'
    },
  })
  for (let i = chance.whole(0, 4); i > 0; i--) {
    const act = chance.pick(['hold', 'resume', 'cancel', 'revert', 'hold', 'resume'] as const)
    world.in(chance.whole(100, 300_000), () => { world.store.act(act); world.reconcile() })
  }
  return world
}

const edges = new Set<string>()
const ends = new Set<string>()

describe('a stormy world', () => {
  afterAll(() => { console.log(`edges met: ${edges.size}; ends met: ${[...ends].sort().join(', ')}`) })

  it(`brings ${seedsWanted} rollouts of ${hostCount} hosts to an end, with sound plans, legal edges and the budget kept`, { timeout: 240_000 }, () => {
    eachSeed(seedsWanted, (seed) => {
      const world = stormyWorld(seed)
      world.run()
      const { store } = world
      for (const edge of store.edges) edges.add(edge)
      ends.add(store.state)
      if (process.env['SEED'] && world.unexplained().length) { const v = world.store.view(world.now); console.log(JSON.stringify({w: v.waves, b: v.builds, s: v.state, p: plan(v, world.now)})) }
      expect(world.unexplained(), `seed ${seed}`).toEqual([])
      expect(world.ended, `seed ${seed} ended ${store.state}`).toBe(true)
      expect([...store.targets.values()].filter((row) => !targetMeaning[row.state].settled).map((row) => `${row.id} ${row.state}`), `seed ${seed}`).toEqual([])
      expect([...store.attempts.values()].filter((one) => one.state === 'ordered' || one.state === 'running'), `seed ${seed}`).toEqual([])
      expect(store.mostInFlight).toBeLessThanOrEqual(store.strategy.inFlightMax)
    })
    if (only !== null) return
    expect([...ends].sort()).toEqual(['cancelled', 'failed', 'reverted', 'succeeded'])
  })

  it('gives the same history for the same seed, byte for byte', () => {
    const history = (seed: number): string => {
      const world = stormyWorld(seed)
      world.run()
      return JSON.stringify([[...world.store.targets.values()], [...world.store.attempts.values()], world.now, world.plans])
    }
    for (const seed of [3, 77, 401]) expect(history(seed)).toBe(history(seed))
  })

  it('tells the truth about every host that it calls succeeded, and leaves none behind that it calls reverted', () => {
    eachSeed(150, (seed) => {
      const world = stormyWorld(seed + 10_000)
      world.run()
      for (const row of world.store.targets.values()) {
        const host = world.setting.hosts.get(row.hostId)
        // A host may reboot after its success; nothing else takes the patch away.
        if (row.state === 'succeeded' && world.setting.faults.reboots === 0) expect(host?.module, `seed ${seed} ${row.id}`).toBe('active')
        if (row.state === 'reverted') expect(host?.module, `seed ${seed} ${row.id}`).toBe('absent')
        if (world.store.state === 'reverted') expect(host?.module, `seed ${seed} ${row.id} is ${row.state}`).toBe('absent')
      }
    })
  })
})

describe('a bad build', () => {
  it('that nobody has run yet harms one host of its kernel, whatever the canary and the limit of errors', { timeout: 120_000 }, () => {
    eachSeed(300, (seed) => {
      const chance = seeded(seed)
      const strategy = { ...strategyOf(chance), onFailure: 'hold' as const }
      const bad = chance.pick(kernels)
      const harm = chance.pick<Temper>(['reboots-on-load', 'unhealthy', 'stalls-for-ever', 'refuses', 'silent-after-load'])
      const { wanted, hosts } = fleetOf(chance, (kernel) => (kernel === bad ? harm : 'sound'))
      const world = new World({ waves: makeWaves(wanted, strategy), strategy, hosts, faults: stormy(chance), chance, onStandstill: () => null })
      world.run()
      const harmed = wanted.filter((host) => host.kernel === bad && (hosts.get(host.name)?.loads ?? 0) > 0)
      // A host that is silent for 20 s only comes back patched, and is no bad host then.
      if (harm !== 'silent-after-load' || world.store.state === 'held') expect(harmed.length, `seed ${seed}, ${harm}`).toBeLessThanOrEqual(1)
      if (process.env['SEED'] && world.unexplained().length) { const v = world.store.view(world.now); console.log(JSON.stringify({w: v.waves, b: v.builds, s: v.state, p: plan(v, world.now), st: strategy})) }
      expect(world.unexplained(), `seed ${seed}`).toEqual([])
    })
  })
})

describe('a calm world', () => {
  it('patches every host once, in as many attempts as there are steps to take', () => {
    eachSeed(40, (seed) => {
      const chance = seeded(seed)
      const strategy = { ...strategyOf(chance), errorsMax: 0, checkAtMs: [] }
      const { wanted, hosts } = fleetOf(chance, () => 'sound')
      const world = new World({ waves: makeWaves(wanted, strategy), strategy, hosts, faults: noFaults, chance, onStandstill: () => null })
      world.run()
      expect(world.store.state).toBe('succeeded')
      expect([...hosts.values()].map((host) => [host.loads, host.module])).toEqual(Array.from({ length: hostCount }, () => [1, 'active']))
      expect(world.store.attempts.size).toBe(2 * hostCount)
    })
  })

  it('never lets hosts on their way and bad hosts together exceed the limit when it counts hosts in flight', () => {
    eachSeed(100, (seed) => {
      const chance = seeded(seed)
      const strategy: Strategy = { ...strategyOf(chance), countInFlight: true, errorsMax: chance.whole(1, 6), waves: [], onFailure: 'hold' }
      const { wanted, hosts } = fleetOf(chance, () => 'sound')
      const waves = makeWaves(wanted, strategy)
      for (const host of waves[1]?.hosts ?? []) hosts.set(host.name, newHost(host.name, 'refuses'))
      const world = new World({ waves, strategy, hosts, faults: noFaults, chance, onStandstill: () => null })
      world.run()
      const bad = [...world.store.targets.values()].filter((row) => targetMeaning[row.state].counts === 'bad').length
      expect(world.store.state, `seed ${seed}`).toBe('held')
      expect(bad, `seed ${seed}`).toBeLessThanOrEqual(strategy.errorsMax)
    })
  })
})
