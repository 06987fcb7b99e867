// From what an operator asks to a plan: which hosts, which build for each, in which waves, and why not the others.
import { createHash } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import type { ReplyOf } from '@uptide/contracts/api'
import { canonicalJson } from '@uptide/evidence'
import { checkStrategy, defaultStrategy, type Forecast, forecast, forecastSays, makeWaves, matches, type PlannedWave, type Reason, type Strategy } from '@uptide/rollout'
import type { PatchRow, SelectedHost } from '@uptide/store'
import { selectorOf } from '../hosts/selector.js'
import { refuse } from '../http/problem.js'
import { Parts } from '../roles/parts.js'
import { checkSchedule } from '../windows/check.js'
import type { Schedule } from '../windows/schedule.js'
import { placeOf, windowOf } from '../windows/window-of.js'

export interface RolloutAsk {
  readonly patch: string
  readonly selection: { readonly hosts?: string[] | undefined; readonly labels?: Record<string, string> | undefined; readonly selector?: string | undefined; readonly all?: boolean | undefined }
  readonly strategy: { readonly [K in keyof Strategy]?: Strategy[K] extends object ? (Strategy[K] extends readonly unknown[] ? Strategy[K] : Partial<Strategy[K]>) | undefined : Strategy[K] | undefined }
}

export interface Planned {
  readonly patch: PatchRow
  readonly strategy: Strategy
  readonly waves: readonly PlannedWave[]
  readonly skipped: readonly { readonly hostId: string; readonly name: string; readonly reason: Reason }[]
  readonly says: readonly string[]
  readonly forecast: Forecast
  readonly planHash: string
}

type BuildRow = PatchRow['builds'][number]
type Chosen = { readonly build: BuildRow } | { readonly reason: Reason }
const because = (code: string, says: string): { reason: Reason } => ({ reason: { code, says } })

/** Each rule answers with a reason to leave the host out, or null. The first one that speaks wins. */
const rules: readonly ((host: SelectedHost, builds: readonly BuildRow[]) => Chosen | null)[] = [
  (host) => (host.state === 'quarantined' ? because('QUARANTINED', `${host.name} is quarantined; somebody must look at it first.`) : null),
  (host) => (host.kernelRelease === null ? because('KERNEL_UNKNOWN', `${host.name} has never told its kernel; probe it: uptide host probe ${host.name}`) : null),
  (host) => (host.mechanism !== 'klp-consistency' ? because('NOT_CAPABLE', `The kernel of ${host.name} has no live patching that Uptide can drive (${host.mechanism ?? 'unknown'}).`) : null),
]

function choose(host: SelectedHost, builds: readonly BuildRow[]): Chosen {
  for (const rule of rules) {
    const left = rule(host, builds)
    if (left) return left
  }
  const same = builds.filter((build) => build.kernelRelease === host.kernelRelease && (host.arch === null || build.arch === host.arch))
  const build = same.find((one) => one.kernelBuildId !== null && one.kernelBuildId === host.kernelBuildId) ?? same.find((one) => one.kernelBuildId === null || host.kernelBuildId === null)
  if (!build) return because('NO_BUILD', same.length > 0 ? `The build for ${host.kernelRelease} is for another build id than ${host.name} runs.` : `There is no build for ${host.kernelRelease}, which ${host.name} runs.`)
  const loaded = (host.loaded as { name: string; state: string; srcversion: string | null }[]).find((one) => one.name === build.moduleName)
  if (loaded?.state === 'ACTIVE' && loaded.srcversion !== null && loaded.srcversion === build.srcversion) return because('ALREADY_PATCHED', `${host.name} has this build active already.`)
  return { build }
}

const undoWords: Readonly<Record<string, string>> = { probably: 'can be taken back live', 'needs-review': 'needs a look before it is taken back' }

@Injectable()
export class PlannerService {
  constructor(private readonly parts: Parts) {}

  async plan(ask: RolloutAsk): Promise<Planned> {
    const patch = await this.parts.store.findPatch(ask.patch)
    if (!patch) throw refuse(404, 'NO_SUCH_PATCH', `There is no patch ${ask.patch}.`)
    const strategy = await this.strategyOf(ask)
    const hosts = await this.hostsOf(ask)
    const skipped: { hostId: string; name: string; reason: Reason }[] = []
    const going = hosts.flatMap((host) => {
      const chosen = choose(host, patch.builds)
      if ('reason' in chosen) { skipped.push({ hostId: host.id, name: host.name, reason: chosen.reason }); return [] }
      return [{ ...host, hostId: host.id, kernel: host.kernelRelease ?? '', buildId: chosen.build.id }]
    })
    const waves = makeWaves(going, strategy)
    const planHash = createHash('sha256').update(canonicalJson({ patch: patch.id, strategy, waves: waves.map((wave) => wave.hosts.map((host) => [host.hostId, host.buildId])), skipped: skipped.map((one) => [one.hostId, one.reason.code]) })).digest('hex').slice(0, 16)
    const seen = forecast(waves, strategy, new Set(patch.builds.filter((build) => build.provenAt !== null).map((build) => build.id)))
    return { patch, strategy, waves, skipped, planHash, forecast: seen, says: [...sentences(patch, strategy, going.map((host) => host.buildId)), ...forecastSays(seen), ...uncovered(skipped, hosts), ...await this.windowSays(strategy)] }
  }

  private async windowSays({ schedule }: Strategy): Promise<string[]> {
    if (!schedule) return []
    const { open, says, changesAt } = windowOf(schedule, await this.parts.store.now())
    return [`hosts start only when its schedule is open; now it is ${open ? 'open' : 'closed'}: ${says}${changesAt === null ? '' : ` This changes at ${new Date(changesAt).toISOString()}.`}`]
  }

  private async strategyOf(ask: RolloutAsk): Promise<Strategy> {
    const given = Object.fromEntries(Object.entries(ask.strategy).filter(([, value]) => value !== undefined))
    const strategy = { ...defaultStrategy, ...given, stall: { ...defaultStrategy.stall, ...ask.strategy.stall }, retry: { ...defaultStrategy.retry, ...ask.strategy.retry } } as Strategy
    const scheduled = strategy.schedule ? checkSchedule(strategy.schedule as Schedule, await this.parts.store.now()) : []
    const faults = [...checkStrategy(strategy), ...scheduled.map((fault) => ({ path: `schedule.${placeOf(fault.path)}`, says: fault.says }))]
    if (faults.length > 0) throw refuse(422, 'IMPOSSIBLE_STRATEGY', `This strategy cannot be carried out: ${faults[0]?.says}`, { at: faults.map((fault) => ({ path: `strategy.${fault.path}`, says: fault.says })) })
    return strategy
  }

  private async hostsOf(ask: RolloutAsk): Promise<SelectedHost[]> {
    const selector = selectorOf(ask.selection.selector ?? 'all', 'selection.selector')
    const hosts = await this.parts.store.selectHosts({ names: ask.selection.hosts, labels: ask.selection.labels })
    const found = new Set(hosts.map((host) => host.name))
    const missing = (ask.selection.hosts ?? []).filter((name) => !found.has(name))
    if (missing.length > 0) throw refuse(422, 'NO_SUCH_HOST', `There is no host ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''}${Object.keys(ask.selection.labels ?? {}).length > 0 ? ' with these labels' : ''}.`, { at: missing.slice(0, 20).map((name) => ({ path: 'selection.hosts', says: name })) })
    const named = hosts.filter((host) => matches(selector, { ...host, kernel: host.kernelRelease }))
    if (hosts.length > 0 && named.length === 0) throw refuse(422, 'NO_SUCH_HOST', 'The selector names no host.', { at: [{ path: 'selection.selector', says: 'names no host' }] })
    return named
  }
}

/** Kernels that no canary can stand for, since no host on them can be patched at all. */
function uncovered(skipped: Planned['skipped'], hosts: readonly SelectedHost[]): string[] {
  const without = new Set(skipped.filter((one) => one.reason.code === 'NO_BUILD').map((one) => one.hostId))
  const counts = new Map<string, number>()
  for (const host of hosts) if (without.has(host.id)) counts.set(host.kernelRelease ?? 'unknown', (counts.get(host.kernelRelease ?? 'unknown') ?? 0) + 1)
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kernel, n]) => `the canary covers no host on ${kernel}: there is no build for ${n === 1 ? 'it' : `its ${n} hosts`}`)
}

function sentences(patch: PatchRow, strategy: Strategy, buildIds: readonly string[]): string[] {
  const used = patch.builds.filter((build) => buildIds.includes(build.id))
  const undo = used.map((build) => {
    const risk = build.rollbackRisk as { level: string; reasons: string[] }
    return `${build.kernelRelease}: ${undoWords[risk.level] ?? risk.level}${risk.reasons.length > 0 ? ` (${risk.reasons.join('; ')})` : ''}${build.replace === 'yes' ? '; it replaces all earlier patches, and taking it back leaves none' : ''}`
  })
  const { stall } = strategy
  return [
    `at most ${strategy.inFlightMax} hosts at once; held when more than ${strategy.errorsMax} go bad; a build that goes bad in its canary stops at once, and builds for other kernels go on`,
    `each patched host is watched for ${strategy.bakeMs / 1000} s before it counts`,
    `a transition older than ${stall.afterMs / 1000} s is stalled; then: ${stall.acts.join(', ')}; after ${stall.giveUpMs / 1000} s: ${stall.onGiveUp}`,
    ...undo.map((line) => `undo on ${line}`),
  ]
}

export const planReply = (planned: Planned): ReplyOf<'rollout.plan'> => ({
  patch: planned.patch.name, hosts: planned.waves.reduce((sum, wave) => sum + wave.hosts.length, 0),
  waves: planned.waves.map((wave) => ({ index: wave.index, canary: wave.canary, why: [...wave.why], hosts: wave.hosts.map((host) => ({ name: host.name, kernel: host.kernel, build: host.buildId })) })),
  skipped: planned.skipped.map((one) => ({ host: one.name, reason: one.reason })), strategy: planned.strategy as ReplyOf<'rollout.plan'>['strategy'], says: [...planned.says], forecast: { ...planned.forecast, builds: [...planned.forecast.builds] }, planHash: planned.planHash,
})
