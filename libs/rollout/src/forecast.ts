// What a plan will take and what it risks, said before anything is touched. Estimates, from the strategy's own figures.
import { spanOf } from './describe.js'
import { quorumLabel, type Strategy } from './strategy.js'
import type { PlannedWave, WaveHost } from './waves.js'

/** Reaching a host, loading, and a transition, in milliseconds: the lab's slowest kernel took 12.5 s under emulation. */
export const hostMsAssumed = 15_000

export interface Forecast {
  /** Time in which hosts may start, milliseconds: what a schedule keeps shut comes on top. */
  readonly lastsMs: number
  readonly builds: readonly { readonly kernel: string; readonly buildId: string; readonly hosts: number; /** Harmed at most, if this build is bad and its checks see it. */ readonly harmedMost: number }[]
  /** The probability that a build is bad, which the two figures below suppose of each build by itself. */
  readonly badProbability: number
  readonly harmedExpected: number
  /** Hosts that would be harmed without a canary, on the same supposition. */
  readonly harmedExpectedWithout: number
}

const countBy = (hosts: readonly WaveHost[], key: (host: WaveHost) => string | null): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const host of hosts) { const at = key(host); if (at !== null) counts.set(at, (counts.get(at) ?? 0) + 1) }
  return counts
}

const most = (numbers: Iterable<number>): number => { let max = 0; for (const n of numbers) max = Math.max(max, n); return max }

/** How many times, one after the other, hosts of the wave have to go: by the budget, the groups, the quorums and first uses. */
function roundsOf(wave: PlannedWave, strategy: Strategy, proven: ReadonlySet<string>): number {
  const { inFlightMax, groups = [] } = strategy
  const byGroup = groups.map(({ label, max }) => Math.ceil(most(countBy(wave.hosts, (host) => host.labels[label] ?? null).values()) / max))
  const byQuorum = most(countBy(wave.hosts, (host) => host.labels[quorumLabel] || null).values())
  // The first host of a build that nobody has run goes alone, then the others.
  const first = wave.canary && [...countBy(wave.hosts, (host) => host.buildId)].some(([build, n]) => !proven.has(build) && n > 1) ? 1 : 0
  return most([Math.ceil(wave.hosts.length / inFlightMax), ...byGroup, byQuorum]) + first
}

/** @param proven ids of the builds that have succeeded on some host of the fleet. @param badProbability from 0 to 1. */
export function forecast(waves: readonly PlannedWave[], strategy: Strategy, proven: ReadonlySet<string>, badProbability = 0.01): Forecast {
  const lastsMs = waves.reduce((sum, wave) => sum + roundsOf(wave, strategy, proven) * (hostMsAssumed + strategy.bakeMs), 0)
  const hosts = countBy(waves.flatMap((wave) => wave.hosts), (host) => host.buildId)
  const canary = countBy(waves[0]?.hosts ?? [], (host) => host.buildId)
  const kernelOf = new Map(waves.flatMap((wave) => wave.hosts.map((host) => [host.buildId, host.kernel] as const)))
  const builds = [...hosts].map(([buildId, n]) => ({ kernel: kernelOf.get(buildId) ?? '', buildId, hosts: n, harmedMost: proven.has(buildId) ? Math.min(strategy.inFlightMax, canary.get(buildId) ?? 1) : 1 }))
    .sort((a, b) => (a.kernel < b.kernel ? -1 : a.kernel > b.kernel ? 1 : 0))
  const sum = (pick: (build: (typeof builds)[number]) => number): number => builds.reduce((total, build) => total + pick(build), 0)
  return { lastsMs, builds, badProbability, harmedExpected: badProbability * sum((build) => build.harmedMost), harmedExpectedWithout: badProbability * sum((build) => build.hosts) }
}

const rounded = (n: number): string => (n >= 10 ? String(Math.round(n)) : String(Math.round(n * 100) / 100))

/** The forecast in sentences. */
export function forecastSays({ lastsMs, builds, badProbability, harmedExpected, harmedExpectedWithout }: Forecast): string[] {
  if (builds.length === 0) return []
  const first = builds.filter((build) => build.harmedMost === 1).length
  return [
    `takes about ${spanOf(Math.max(60_000, Math.round(lastsMs / 60_000) * 60_000))} of open time, if no host stalls`,
    `if a build is bad and its checks see it, at most ${most(builds.map((build) => build.harmedMost))} host${builds.some((build) => build.harmedMost > 1) ? 's' : ''} of its kernel ${first === builds.length ? 'is' : 'are'} harmed`,
    `with ${rounded(badProbability * 100)} % bad builds: ${rounded(harmedExpected)} harmed hosts expected, ${rounded(harmedExpectedWithout)} without a canary`,
  ]
}
