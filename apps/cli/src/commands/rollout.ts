import type { ReplyOf, Rollout, RouteName } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { action, type Tools } from '../command.js'
import { Ending } from '../exit.js'
import { table } from '../output/table.js'
import { counts, parseDuration } from '../output/words.js'
import { watchOptions, watchRollout, type WatchFlags } from '../watch/watch.js'
import { collect } from './input.js'
import { type ScheduleFlags, scheduleOf, scheduleOptions } from './schedule.js'
import { askOf, strategyOptions, type StrategyFlags } from './strategy.js'

type PlanReply = ReplyOf<'rollout.plan'>

export function planLines(plan: PlanReply): string {
  const waves = plan.waves.map((wave) => {
    const shown = wave.hosts.slice(0, 20).map((host) => `    ${host.name}  ${host.kernel}`)
    const more = wave.hosts.length > 20 ? [`    … and ${wave.hosts.length - 20} more`] : []
    return [`  ${wave.canary ? 'canary' : `wave ${wave.index + 1}`}: ${wave.hosts.length} hosts`, ...wave.why.map((why) => `    (${why})`), ...shown, ...more].join('\n')
  })
  const skipped = plan.skipped.length > 0 ? [`  left out: ${plan.skipped.length}`, ...plan.skipped.slice(0, 50).map((one) => `    ${one.host}: ${one.reason.says}`)] : []
  return [`${plan.patch} to ${plan.hosts} hosts in ${plan.waves.length} waves`, ...waves, ...skipped, ...plan.says.map((line) => `  ${line}`), `  plan ${plan.planHash}`].join('\n')
}

/** What was asked, with its schedule: calendars are read by the server first. */
async function withSchedule(tools: Tools, flags: StrategyFlags & ScheduleFlags): Promise<ReturnType<typeof askOf>> {
  const ask = askOf(flags)
  const schedule = await scheduleOf(tools, flags)
  return schedule ? { ...ask, strategy: { ...ask.strategy, schedule } } : ask
}

export function rolloutLines(rollout: Rollout): string {
  return [
    `${rollout.name}  ${rollout.state}${rollout.reason ? `: ${rollout.reason.says}` : ''}`,
    `  patch ${rollout.patch}, ${rollout.hosts} hosts: ${counts(rollout.counts)}`,
    `  by ${rollout.createdBy}, ${rollout.createdAt}; ended ${rollout.endedAt ?? 'not yet'}`,
    ...(rollout.state === 'awaiting-approval' ? [`  waits for ${rollout.strategy.approvals?.needed ?? 0} approvals of plan ${rollout.planHash ?? '?'}: uptide rollout approve ${rollout.name} --reason TEXT`] : []),
    ...rollout.approvals.map((one) => `  approved by ${one.principal}, ${one.at}: ${one.says}`),
    ...rollout.waves.map((wave) => `  ${wave.canary ? 'canary' : `wave ${wave.index + 1}`}  ${wave.state}  ${counts(wave.counts)}`),
    ...rollout.builds.flatMap((build) => { const why = build.halted ?? build.stopped; return why ? [`  ${build.halted ? 'halted' : 'stopped'}  ${build.kernelRelease}: ${why.says}`] : [] }),
  ].join('\n')
}

async function create(tools: Tools, flags: StrategyFlags & ScheduleFlags & WatchFlags & { draft?: boolean; watch?: boolean; planHash?: string }): Promise<void> {
  const rollout = await tools.client.call('rollout.create', { body: { ...await withSchedule(tools, flags), start: !flags.draft, ...(flags.planHash ? { planHash: flags.planHash } : {}) } })
  if (!flags.watch) { tools.result(rollout, `${rolloutLines(rollout)}\nFollow it: uptide rollout watch ${rollout.name}`); return }
  tools.print(rollout.state === 'awaiting-approval' ? rolloutLines(rollout) : `${rollout.name} has started.`)
  await watchRollout(tools, rollout.id, flags)
}

async function show(tools: Tools, id: string): Promise<void> {
  const rollout = await tools.client.call('rollout.show', { params: { id } })
  const targets: ReplyOf<'rollout.targets'>['items'] = []
  for await (const one of tools.client.all('rollout.targets', { params: { id } })) targets.push(one)
  tools.result({ ...rollout, targets }, `${rolloutLines(rollout)}\n${table(['host', 'wave', 'state', 'kernel', 'why'], targets.map((one) => [one.host, one.wave + 1, one.state, one.kernelRelease, (one.waitingOn ?? one.reason)?.says]))}`)
}

/** An operator's act: verb, route, and what it means. */
const acts = [
  ['start', 'rollout.start', 'Start a rollout that was created with --draft'],
  ['hold', 'rollout.hold', 'No new starts; what runs is followed to its end'],
  ['resume', 'rollout.resume', 'Go on; the errors so far are accepted'],
  ['cancel', 'rollout.cancel', 'Start nothing more, ever; patched hosts stay patched'],
] as const satisfies readonly (readonly [string, RouteName, string])[]

export function rolloutCommands(uptide: Command): void {
  const rollout = uptide.command('rollout').description('Campaigns: plan, start, watch, hold, resume, cancel, revert')
  scheduleOptions(strategyOptions(rollout.command('plan').description('Print what would be done and why; changes nothing')))
    .action(action<[StrategyFlags & ScheduleFlags]>(async (tools, flags) => {
      const { client, result } = tools
      const plan = await client.call('rollout.plan', { body: await withSchedule(tools, flags) })
      result(plan, planLines(plan))
    }))
  watchOptions(scheduleOptions(strategyOptions(rollout.command('create').description('Create a rollout and start it'))))
    .option('--draft', 'create it only')
    .option('--watch', 'and follow it to its end')
    .option('--plan-hash <hash>', 'refuse when the plan is not the one that was looked at')
    .action(action<[StrategyFlags & ScheduleFlags & WatchFlags & { draft?: boolean; watch?: boolean; planHash?: string }]>(create))
  rollout.command('list').description('Rollouts, newest first')
    .action(action(async ({ client, result }) => {
      const all: Rollout[] = []
      for await (const one of client.all('rollout.list')) all.push(one)
      result(all, table(['name', 'state', 'patch', 'hosts', 'counts', 'created', 'by'], all.map((one) => [one.name, one.state, one.patch, one.hosts, counts(one.counts), one.createdAt, one.createdBy])))
    }))
  rollout.command('show <id>').description('One rollout and its targets, by name or id').action(action<[string]>(show))
  watchOptions(rollout.command('watch <id>').description('Follow a rollout to its end; exit 0 only when it succeeded'))
    .action(action<[string, WatchFlags]>(async (tools, id, flags) => { await watchRollout(tools, id, flags) }))
  for (const [verb, route, says] of acts) {
    rollout.command(`${verb} <id>`).description(says).option('--reason <text>', 'recorded with the act')
      .action(action<[string, { reason?: string }]>(async ({ client, result }, id, flags) => {
        const after = await client.call(route, { params: { id }, body: flags.reason ? { reason: flags.reason } : {} })
        result(after, rolloutLines(after))
      }))
  }
  for (const [verb, route, says] of [['approve', 'rollout.approve', 'Approve its plan; never one\'s own. It starts when enough people have'], ['reject', 'rollout.reject', 'Reject its plan; the rollout is cancelled']] as const) {
    rollout.command(`${verb} <id>`).description(says).requiredOption('--reason <text>', 'kept for good')
      .option('--plan <hash>', 'the plan you have looked at; refused when it is another')
      .action(action<[string, { reason: string; plan?: string }]>(async ({ client, result }, id, flags) => {
        const after = await client.call(route, { params: { id }, body: { reason: flags.reason, ...(flags.plan ? { planHash: flags.plan } : {}) } })
        result(after, rolloutLines(after))
      }))
  }
  rollout.command('override <id>').description('Go on outside its windows for a while: one person asks, another confirms with the same command')
    .requiredOption('--reason <text>', 'kept for good').option('--lasts <time>', 'how long it holds once it is confirmed (2h)')
    .action(action<[string, { reason: string; lasts?: string }]>(async ({ client, result }, id, flags) => {
      const lastsMs = flags.lasts === undefined ? undefined : parseDuration(flags.lasts)
      if (lastsMs === null) throw new Ending('usage', `${flags.lasts} is no duration.`, 'Write 30m or 4h.')
      const done = await client.call('rollout.override', { params: { id }, body: { reason: flags.reason, ...(lastsMs === undefined ? {} : { lastsMs }) } })
      result(done, done.until === null ? 'Asked. Somebody else has to confirm it within an hour, with the same command.' : `Confirmed: hosts may start until ${done.until}, whatever the windows say.`)
    }))
  watchOptions(rollout.command('revert <id>').description('Undo on every host of the rollout, or on the hosts named'))
    .option('--host <name>', 'only this host; may be given often', collect)
    .option('--reason <text>', 'recorded with the act')
    .option('--watch', 'and follow it to its end')
    .action(action<[string, WatchFlags & { host?: string[]; reason?: string; watch?: boolean }]>(async (tools, id, flags) => {
      const after = await tools.client.call('rollout.revert', { params: { id }, body: { ...(flags.host ? { hosts: flags.host } : {}), ...(flags.reason ? { reason: flags.reason } : {}) } })
      if (flags.watch) await watchRollout(tools, id, { ...flags, wanted: flags.host ? undefined : 'reverted', hosts: flags.host })
      else tools.result(after, rolloutLines(after))
    }))
}
