// Who goes when, and why. Decided once, when a rollout is created, and shown before anything is touched.
import type { Reason } from './decisions.js'
import type { Strategy } from './strategy.js'

export interface WaveHost {
  readonly hostId: string
  readonly name: string
  readonly kernel: string
  /** The build for exactly this host's kernel. */
  readonly buildId: string
}

export interface PlannedWave {
  readonly index: number
  readonly canary: boolean
  readonly hosts: readonly WaveHost[]
  /** Sentences for people. */
  readonly why: readonly string[]
  /** Hosts of each build × kernel in it. */
  readonly covers: readonly { readonly kernel: string; readonly buildId: string; readonly hosts: number }[]
}

const byName = (a: WaveHost, b: WaveHost): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

/** Hosts grouped by what is loaded on them: a live patch is built per kernel, so each build is a risk of its own. */
function strata(hosts: readonly WaveHost[]): WaveHost[][] {
  const groups = new Map<string, WaveHost[]>()
  for (const host of [...hosts].sort(byName)) {
    const key = `${host.kernel}\n${host.buildId}`
    const group = groups.get(key)
    if (group) group.push(host); else groups.set(key, [host])
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

/** One host of each stratum in turn, so that every later wave meets every kernel in proportion. */
function interleave(groups: readonly (readonly WaveHost[])[]): WaveHost[] {
  const longest = groups.reduce((most, group) => Math.max(most, group.length), 0)
  const order: { host: WaveHost; place: number }[] = []
  for (const group of groups) group.forEach((host, index) => { order.push({ host, place: ((index + 0.5) / group.length) * longest }) })
  return order.sort((a, b) => a.place - b.place || byName(a.host, b.host)).map((one) => one.host)
}

const hostsOf = (count: number): string => `${count} host${count === 1 ? '' : 's'}`

/**
 * Cuts hosts into waves. The first is the canary: `canaryPerBuild` hosts of every build × kernel that is met, since
 * a sample in percent can miss a build entirely. Sizes in percent are of all hosts, rounded up.
 */
export function makeWaves(hosts: readonly WaveHost[], strategy: Pick<Strategy, 'waves' | 'canaryPerBuild'>): PlannedWave[] {
  if (hosts.length === 0) return []
  const groups = strata(hosts)
  const canary = groups.flatMap((group) => group.slice(0, strategy.canaryPerBuild))
  const rest = interleave(groups.map((group) => group.slice(strategy.canaryPerBuild)))
  const waves: PlannedWave[] = []
  const add = (slice: readonly WaveHost[], why: readonly string[]): void => {
    waves.push({ index: waves.length, canary: waves.length === 0, hosts: slice, why, covers: strata(slice).flatMap((group) => (group[0] ? [{ kernel: group[0].kernel, buildId: group[0].buildId, hosts: group.length }] : [])) })
  }
  add(canary, canaryWhy(groups, strategy.canaryPerBuild))
  let from = 0
  for (const size of strategy.waves) {
    if (from >= rest.length) break
    const wanted = size.kind === 'count' ? size.hosts : Math.ceil((hosts.length * size.percent) / 100)
    const slice = rest.slice(from, from + wanted)
    from += slice.length
    const words = size.kind === 'count' ? `${hostsOf(size.hosts)} as asked` : `${size.percent} % of ${hostsOf(hosts.length)}`
    add(slice, [slice.length < wanted ? `${words}; only ${hostsOf(slice.length)} ${slice.length === 1 ? 'was' : 'were'} left` : words])
  }
  if (from < rest.length) add(rest.slice(from), ['all that remain'])
  return waves
}

/** Names in one sentence; 100 canaries of one build would fill a screen. */
const namesMax = 5

function canaryWhy(groups: readonly (readonly WaveHost[])[], perBuild: number): string[] {
  return groups.map((group) => {
    const taken = group.slice(0, perBuild)
    const more = taken.length > namesMax ? ` and ${taken.length - namesMax} more` : ''
    return `${taken.slice(0, namesMax).map((host) => host.name).join(', ')}${more} stand${taken.length === 1 ? 's' : ''} for ${hostsOf(group.length)} on ${group[0]?.kernel ?? '?'}`
  })
}

export interface SkippedHost { readonly name: string; readonly reason: Reason }
