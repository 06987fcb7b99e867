// Plays a scenario with the real planner: the same seed gives the same fleet, the same faults and the same trace, byte for byte.
import { makeWaves, type TargetState, type WaveHost, whyNot } from '@uptide/rollout'
import { type Chance, seeded } from '../seed.js'
import { type Host, newHost, type Temper } from '../world/host-model.js'
import { World } from '../world/world.js'
import { breachesOf } from './invariants.js'
import type { Expectation, Scenario } from './scenario.js'

export interface Played {
  readonly seed: number
  readonly hosts: number
  readonly state: string
  /** Virtual time from the first plan to rest, milliseconds. */
  readonly tookMs: number
  readonly plans: number
  readonly attempts: number
  readonly counts: Readonly<Partial<Record<TargetState, number>>>
  readonly mostInFlight: number
  readonly byKernel: readonly { readonly kernel: string; readonly hosts: number; readonly harmed: number; readonly succeeded: number; readonly stopped: boolean; readonly halted: boolean }[]
  /** Laws that were broken, and expectations that did not come true; empty when all is well. */
  readonly breaches: readonly string[]
  readonly trace: readonly string[]
}

export interface PlayOptions { readonly seed: number; readonly hosts?: number; /** Without one, no line is kept. */ readonly trace?: boolean }

interface Fleet { readonly wanted: readonly WaveHost[]; readonly hosts: Map<string, Host> }

function temperOf(scenario: Scenario, kernel: string, chance: Chance): Temper {
  const bad = scenario.bad.get(kernel)
  let roll = chance.next()
  if (bad) return bad
  for (const { rate, temper } of scenario.some) {
    if (roll < rate) return temper
    roll -= rate
  }
  return 'sound'
}

function fleetOf(scenario: Scenario, count: number, chance: Chance): Fleet {
  const hosts = new Map<string, Host>()
  const digits = String(count - 1).length
  const wanted = Array.from({ length: count }, (_, i): WaveHost => {
    const name = `h${String(i).padStart(digits, '0')}`
    // Every kernel is met, however few the hosts.
    const kernel = scenario.kernels[i] ?? chance.pick(scenario.kernels)
    hosts.set(name, newHost(name, scenario.named.get(i) ?? temperOf(scenario, kernel, chance)))
    const labels = Object.fromEntries(scenario.labels.map(({ label, values }) => [label, `${label}-${chance.below(values)}`]))
    return { hostId: name, name, kernel, buildId: `build-${kernel}`, arch: 'x86_64', mechanism: 'klp-consistency', state: 'reachable', labels }
  })
  return { wanted, hosts }
}

/** Tempers that a load does harm to, whatever the planner has made of it. */
const harmful: ReadonlySet<Temper> = new Set(['refuses', 'stalls-for-ever', 'reboots-on-load', 'silent-after-load', 'unhealthy'])
const isHarmed = (host: Host | undefined): boolean => host !== undefined && host.loads > 0 && harmful.has(host.temper)

/** +h:mm:ss.mmm since the beginning. */
function clockOf(ms: number): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  return `+${Math.floor(ms / 3_600_000)}:${two(Math.floor(ms / 60_000) % 60)}:${two(Math.floor(ms / 1_000) % 60)}.${String(ms % 1_000).padStart(3, '0')}`
}

const compare: Readonly<Record<Expectation['operator'], (found: string, wanted: string) => boolean>> = {
  '=': (found, wanted) => found === wanted,
  '<=': (found, wanted) => Number(found) <= Number(wanted),
  '>=': (found, wanted) => Number(found) >= Number(wanted),
}

/** Plays it to rest. Never throws for what the planner does: a broken law is a breach with its moment. */
export function playScenario(scenario: Scenario, { seed, hosts: count = scenario.hosts, trace: wanted = false }: PlayOptions): Played {
  const chance = seeded(seed)
  const fleet = fleetOf(scenario, count, chance.fork('fleet'))
  const waves = makeWaves(fleet.wanted, scenario.strategy)
  const trace: string[] = []
  const still = [...scenario.whenStill]
  const say = (line: string): void => { if (wanted) trace.push(`${clockOf(world.now - began)} ${line}`) }
  const world: World = new World({
    waves, strategy: scenario.strategy, hosts: fleet.hosts, faults: scenario.faults, chance: chance.fork('world'), proven: scenario.proven.map((kernel) => `build-${kernel}`),
    onStandstill: () => {
      // What cannot be asked now, or would change nothing, is passed over.
      const at = still.findIndex((act) => (act === 'release' ? [...world.store.builds.values()].some((build) => build.halted) : whyNot(act, world.store.state) === null))
      const act = still.splice(0, at < 0 ? still.length : at + 1).at(-1)
      if (at < 0 || act === undefined) return null
      say(`a person asks to ${act}`)
      return act
    },
    tell: say,
  })
  const began = world.now
  const breaches: string[] = []
  for (const { atMs, act } of scenario.acts) world.in(atMs, () => { say(`a person asks to ${act}`); world.store.act(act); world.reconcile() })
  for (const wave of waves) say(`wave ${wave.index + 1}${wave.canary ? ', the canary' : ''}: ${wave.hosts.length} hosts`)
  try { world.run() } catch (error) { breaches.push(`${clockOf(world.now - began)}: ${(error as Error).message}`) }
  if (breaches.length === 0) breaches.push(...breachesOf(world))

  const rows = [...world.store.targets.values()]
  const counts: Partial<Record<TargetState, number>> = {}
  for (const row of rows) counts[row.state] = (counts[row.state] ?? 0) + 1
  const kernelOf = new Map(fleet.wanted.map((host) => [host.name, host.kernel]))
  const byKernel = scenario.kernels.map((kernel) => {
    const own = rows.filter((row) => kernelOf.get(row.hostName) === kernel)
    const build = world.store.builds.get(`build-${kernel}`)
    return {
      kernel, hosts: own.length, succeeded: own.filter((row) => row.state === 'succeeded').length, stopped: Boolean(build?.stopped), halted: Boolean(build?.halted),
      harmed: own.filter((row) => isHarmed(fleet.hosts.get(row.hostName))).length,
    }
  })
  const played = { seed, hosts: count, state: world.store.state, tookMs: world.now - began, plans: world.plans, attempts: world.store.attempts.size, counts, mostInFlight: world.store.mostInFlight, byKernel }
  return { ...played, breaches: [...breaches, ...unmet(scenario, played)], trace }
}

function unmet(scenario: Scenario, played: Omit<Played, 'breaches' | 'trace'>): string[] {
  const sum = (kernel: string | null, pick: (one: Played['byKernel'][number]) => number): string =>
    String(played.byKernel.reduce((total, one) => total + (kernel === null || one.kernel === kernel ? pick(one) : 0), 0))
  const found: Readonly<Record<Expectation['what'], (kernel: string | null) => string>> = {
    state: () => played.state,
    harmed: (kernel) => sum(kernel, (one) => one.harmed),
    stopped: (kernel) => sum(kernel, (one) => Number(one.stopped)),
    halted: (kernel) => sum(kernel, (one) => Number(one.halted)),
    succeeded: (kernel) => sum(kernel, (one) => one.succeeded),
    started: () => String(played.hosts - (played.counts.pending ?? 0) - (played.counts.cancelled ?? 0)),
    pending: () => String(played.counts.pending ?? 0),
  }
  return scenario.expectations.flatMap((one) => {
    const is = found[one.what](one.kernel)
    return compare[one.operator](is, one.value) ? [] : [`line ${one.line}: ${one.what}${one.kernel === null ? '' : ` ${one.kernel}`} ${one.operator} ${one.value} was expected, it is ${is}`]
  })
}
