// The story that is told: enrol, plan, roll out v1 with a stall in it, replace it by v2, take one host back.
import type { Event, Host, ReplyOf, Rollout, Target } from '@uptide/contracts/api'
import { labModules, labSsh, type LabHost } from '@uptide/lab'
import { ask, askLines, type Operator, show } from './cli.js'
import { broken, type HostResult } from './promises.js'
import { heading, rows, say } from './say.js'

type WatchedRollout = Rollout & { targets: Target[] }
type PlanReply = ReplyOf<'rollout.plan'>

/** Short times, so that the demo is one: minutes in production. */
const pace = ['--bake', '3s', '--stall-after', '5s', '--stall-acts', 'nudge,reverse', '--stall-every', '4s', '--waves', '50%']

async function behaviourOf(host: LabHost): Promise<string> {
  const { stdout } = await labSsh(host, ['cat', '/proc/version'])
  return /\((uptide v\d)\)/.exec(stdout)?.[1] ?? (stdout.startsWith('Linux version') ? 'original' : 'unreadable')
}

const behaviours = async (hosts: readonly LabHost[]): Promise<Record<string, string>> => Object.fromEntries(await Promise.all(hosts.map(async (host) => [host.name, await behaviourOf(host)] as const)))

async function modulesFor(hosts: readonly LabHost[], name: string): Promise<string[]> {
  const keys = [...new Set(hosts.map((host) => host.kernelKey))]
  return Promise.all(keys.map(async (key) => {
    const file = (await labModules(key)).modules[name]
    if (file === undefined) throw new Error(`the lab has no module ${name} for ${key}`)
    return file
  }))
}

async function enrol(operator: Operator, hosts: readonly LabHost[]): Promise<void> {
  heading('Enrolling the hosts over SSH, each with its pinned host key')
  for (const host of hosts) await ask(operator, 'host', 'add', host.name, '--address', host.address, '--port', String(host.port), '--host-key', host.hostKey, '--key', host.privateKeyPath, '--label', `generation=${host.kernelKey}`)
  await show(operator, 'host', 'list')
}

async function addPatch(operator: Operator, hosts: readonly LabHost[], version: 'v1' | 'v2'): Promise<void> {
  heading(`Uploading the patch demo-${version}: one build for each kernel`)
  const code = await show(operator, 'patch', 'add', `demo-${version}`, ...(await modulesFor(hosts, `uptide_${version}`)), '--title', `The lab's fix, ${version}`, '--cve', 'CVE-2026-00001', '--replace', version === 'v2' ? 'yes' : 'no')
  if (code !== 0) throw new Error(`the patch was not accepted (${code})`)
}

async function rollOut(operator: Operator, version: 'v1' | 'v2'): Promise<WatchedRollout> {
  const code = await show(operator, 'rollout', 'create', '--patch', `demo-${version}`, '--all', '--name', `demo-${version}`, ...pace, '--watch', '--timeout', '5m')
  if (code !== 0) say(`  (exit ${code})`)
  return ask<WatchedRollout>(operator, 'rollout', 'show', `demo-${version}`)
}

export async function story(operator: Operator, hosts: readonly LabHost[]): Promise<{ hosts: HostResult[]; faults: string[] }> {
  await enrol(operator, hosts)
  const before = await ask<Host[]>(operator, 'host', 'list')
  await addPatch(operator, hosts, 'v1')

  heading('The plan: what would be done, and why')
  await show(operator, 'rollout', 'plan', '--patch', 'demo-v1', '--all', ...pace)
  const plan = await ask<PlanReply>(operator, 'rollout', 'plan', '--patch', 'demo-v1', '--all', ...pace)
  const canary = plan.waves[0]?.hosts ?? []

  // The stall happens outside the canary: on the last host of the last wave.
  const stalledName = plan.waves.at(-1)?.hosts.at(-1)?.name ?? ''
  const stalled = hosts.find((host) => host.name === stalledName)
  if (!stalled) throw new Error('the plan has no host to stall')
  heading(`On ${stalled.name} a task now sleeps in a function that will be patched: it will hold the transition up`)
  await labSsh(stalled, ['/lab/reader', 'start', 'interruptible'])

  heading('Rolling out v1: canary, then the rest')
  const first = await rollOut(operator, 'v1')
  const stallEvents = await askLines<Event>(operator, 'events', '--rollout', 'demo-v1', '--kind', 'target.stalled')
  const ended = await askLines<Event>(operator, 'events', '--rollout', 'demo-v1', '--kind', 'attempt.ended')
  const blockers = blockersOf(ended)
  heading(`What stalled ${stalled.name}, and what the policy did`)
  for (const one of blockers) say(`  ${one}`)
  for (const event of await askLines<Event>(operator, 'events', '--rollout', 'demo-v1', '--host', stalled.name)) {
    const why = (event.data['reason'] as { says?: string } | undefined)?.says
    if (why && (event.kind.startsWith('target.') || event.kind === 'attempt.ordered')) say(`  ${event.at.slice(11, 23)}  ${event.kind.padEnd(18)} ${why}`)
  }
  await labSsh(stalled, ['/lab/reader', 'stop'])
  const afterFirst = await behaviours(hosts)

  await addPatch(operator, hosts, 'v2')
  heading('Rolling out v2: it replaces v1 atomically')
  const second = await rollOut(operator, 'v2')

  const revertedHost = canary.at(-1)?.name ?? hosts[0]?.name ?? ''
  heading(`Taking ${revertedHost} back`)
  await show(operator, 'rollout', 'revert', 'demo-v2', '--host', revertedHost, '--reason', 'the demo shows a revert', '--watch', '--timeout', '3m')

  return report(operator, hosts, { before, plan, stalledName, stallEvents, blockers, first, afterFirst, second, revertedHost })
}

function blockersOf(ended: readonly Event[]): string[] {
  const lines = ended.flatMap((event) => {
    const outcome = event.data['outcome'] as { kind: string; blockers?: { comm: string; pid: number; kernelTask: boolean; state: string; stack: string[] }[] }
    return outcome.kind === 'stalled' ? (outcome.blockers ?? []) : []
  }).map((one) => `${one.comm} (pid ${one.pid}, ${one.kernelTask ? 'kernel' : 'user'} task, state ${one.state}) in ${one.stack.slice(0, 3).join(' < ')}`)
  return [...new Set(lines)]
}

interface Told {
  readonly before: readonly Host[]; readonly plan: PlanReply; readonly stalledName: string; readonly stallEvents: readonly Event[]; readonly blockers: readonly string[]
  readonly first: WatchedRollout; readonly afterFirst: Record<string, string>; readonly second: WatchedRollout; readonly revertedHost: string
}

async function report(operator: Operator, hosts: readonly LabHost[], told: Told): Promise<{ hosts: HostResult[]; faults: string[] }> {
  heading('What the hosts themselves say')
  for (const host of hosts) await ask(operator, 'host', 'probe', host.name)
  const after = await ask<Host[]>(operator, 'host', 'list')
  const last = await ask<WatchedRollout>(operator, 'rollout', 'show', 'demo-v2')
  const now = await behaviours(hosts)
  const results: HostResult[] = hosts.map((host) => {
    const target = last.targets.find((one) => one.host === host.name)
    return {
      host: host.name, kernel: host.kernelRelease, state: target?.state ?? 'unknown', transitionMs: target?.transitionMs ?? null,
      bootIdBefore: told.before.find((one) => one.name === host.name)?.bootId ?? '', bootIdAfter: after.find((one) => one.name === host.name)?.bootId ?? '',
      behaviour: now[host.name] ?? 'unreadable',
    }
  })
  rows(['host', 'kernel', 'state', 'transition', 'boot id before', 'boot id after', '/proc/version'], results.map((one) => [one.host, one.kernel, one.state, one.transitionMs === null ? '-' : `${one.transitionMs} ms`, one.bootIdBefore, one.bootIdAfter === one.bootIdBefore ? '(unchanged)' : one.bootIdAfter, one.behaviour]))
  const chainOk = (await show(operator, 'events', '--verify')) === 0
  const faults = broken({
    hosts: results, kernels: [...new Set(hosts.map((host) => host.kernelRelease))], canaryKernels: (told.plan.waves[0]?.hosts ?? []).map((host) => host.kernel),
    stalledHost: told.stalledName, stalledEvents: told.stallEvents.length, blockers: told.blockers, firstState: told.first.state, afterFirst: told.afterFirst,
    secondState: told.second.state, revertedHost: told.revertedHost, chainOk,
  })
  return { hosts: results, faults }
}
