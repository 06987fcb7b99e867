// Who goes when, and why. Decided once, when a rollout is created, and shown before anything is touched.
import type { Reason } from './decisions.js'
import type { SelectableHost } from './selector/grammar.js'
import { matches } from './selector/match.js'
import { readSelector } from './selector/read.js'
import { quorumLabel, type Strategy, type WaveSize } from './strategy.js'

/** What of a host decides its wave; what a selector may ask for stands in SelectableHost. */
export interface WaveHost extends SelectableHost {
  readonly hostId: string
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

/** Hosts grouped by what is loaded on them, since each build is a risk of its own, and by the roles that the strategy names. */
function strata(hosts: readonly WaveHost[], labels: readonly string[] = []): WaveHost[][] {
  const groups = new Map<string, WaveHost[]>()
  for (const host of [...hosts].sort(byName)) {
    const key = [host.kernel, host.buildId, ...labels.map((label) => host.labels[label] ?? '')].join('\n')
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

const words = (size: WaveSize, all: number): string =>
  size.kind === 'count' ? `${hostsOf(size.hosts)} as asked` : size.kind === 'percent' ? `${size.percent} % of ${hostsOf(all)}` : `hosts that answer to ${size.selector}`

/** The hosts of one wave out of those that are left. A selector is read already when a strategy was accepted. */
function sliceOf(size: WaveSize, rest: readonly WaveHost[], all: number): { readonly slice: WaveHost[]; readonly wanted: number } {
  if (size.kind === 'selector') {
    const read = readSelector(size.selector)
    const slice = read.ok ? rest.filter((host) => matches(read.selector, host)) : []
    return { slice, wanted: slice.length }
  }
  const wanted = size.kind === 'count' ? size.hosts : Math.ceil((all * size.percent) / 100)
  return { slice: rest.slice(0, wanted), wanted }
}

/**
 * Cuts hosts into waves. The first is the canary: `canaryPerBuild` hosts of every build × kernel × value of the canary's
 * labels that is met, since a sample in percent can miss a build entirely. Sizes in percent are of all hosts, rounded up.
 */
export function makeWaves(hosts: readonly WaveHost[], strategy: Pick<Strategy, 'waves' | 'canaryPerBuild' | 'canaryLabels'>): PlannedWave[] {
  if (hosts.length === 0) return []
  const groups = strata(hosts, strategy.canaryLabels)
  const canary = groups.flatMap((group) => group.slice(0, strategy.canaryPerBuild))
  let rest = interleave(groups.map((group) => group.slice(strategy.canaryPerBuild)))
  const waves: PlannedWave[] = []
  const add = (slice: readonly WaveHost[], why: readonly string[]): void => {
    waves.push({ index: waves.length, canary: waves.length === 0, hosts: slice, why, covers: strata(slice).flatMap((group) => (group[0] ? [{ kernel: group[0].kernel, buildId: group[0].buildId, hosts: group.length }] : [])) })
  }
  add(canary, canaryWhy(groups, strategy.canaryPerBuild, strategy.canaryLabels ?? []))
  for (const size of strategy.waves) {
    const { slice, wanted } = sliceOf(size, rest, hosts.length)
    // A wave of nobody says nothing and would wait for nobody.
    if (slice.length === 0) continue
    const taken = new Set(slice)
    rest = rest.filter((host) => !taken.has(host))
    const says = words(size, hosts.length)
    add(slice, [slice.length < wanted ? `${says}; only ${hostsOf(slice.length)} ${slice.length === 1 ? 'was' : 'were'} left` : says])
  }
  if (rest.length > 0) add(rest, ['all that remain'])
  return waves
}

/** What a host shares with others, as its target keeps it: `label=value` of every paced label, and its quorum. */
export function sharesOf(host: Pick<WaveHost, 'labels'>, strategy: Pick<Strategy, 'groups'>): { readonly groups: string[]; readonly quorum: string | null } {
  const groups = (strategy.groups ?? []).flatMap(({ label }) => (host.labels[label] === undefined ? [] : [`${label}=${host.labels[label]}`]))
  return { groups, quorum: host.labels[quorumLabel] || null }
}

/** Names in one sentence; 100 canaries of one build would fill a screen. */
const namesMax = 5

function canaryWhy(groups: readonly (readonly WaveHost[])[], perBuild: number, labels: readonly string[]): string[] {
  return groups.map((group) => {
    const taken = group.slice(0, perBuild)
    const roles = labels.map((label) => `, ${label} ${group[0]?.labels[label] ?? 'not set'}`).join('')
    const more = taken.length > namesMax ? ` and ${taken.length - namesMax} more` : ''
    return `${taken.slice(0, namesMax).map((host) => host.name).join(', ')}${more} stand${taken.length === 1 ? 's' : ''} for ${hostsOf(group.length)} on ${group[0]?.kernel ?? '?'}${roles}`
  })
}

export interface SkippedHost { readonly name: string; readonly reason: Reason }
