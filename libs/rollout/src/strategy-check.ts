// An impossible strategy is refused when it is written down, not discovered at night.
import { readSelector } from './selector/read.js'
import type { LimitKind, Strategy } from './strategy.js'

export interface StrategyFault { readonly path: string; readonly says: string }

type Rule = (strategy: Strategy) => StrategyFault | null
const rule = (path: string, says: string, broken: (strategy: Strategy) => boolean): Rule => (strategy) => (broken(strategy) ? { path, says } : null)
const whole = (n: number, least: number): boolean => Number.isInteger(n) && n >= least

/** With intervals from 15 s doubling to 5 minutes, 20 acts take more than an hour: beyond any patience. */
const actsMax = 20

const rules: readonly Rule[] = [
  rule('canaryPerBuild', 'The canary holds at least one host of every build; there is no rollout without it.', (s) => !whole(s.canaryPerBuild, 1)),
  rule('inFlightMax', 'At least one host must be allowed in flight, or nothing ever starts.', (s) => !whole(s.inFlightMax, 1)),
  rule('errorsMax', 'The number of errors allowed is a whole number, 0 or more.', (s) => !whole(s.errorsMax, 0)),
  rule('stoppedBuildsMax', 'The number of stopped builds allowed is a whole number, 0 or more.', (s) => s.stoppedBuildsMax !== undefined && !whole(s.stoppedBuildsMax, 0)),
  rule('priority', 'The priority is a whole number from 0 to 100.', (s) => s.priority !== undefined && !(whole(s.priority, 0) && s.priority <= 100)),
  rule('approvals.needed', 'From 1 to 5 people approve a rollout.', (s) => s.approvals !== undefined && !(whole(s.approvals.needed, 1) && s.approvals.needed <= 5)),
  rule('approvals.expiresMs', 'An approval lasts at least a minute, or nobody could give a second.', (s) => s.approvals !== undefined && !whole(s.approvals.expiresMs, 60_000)),
  rule('weight', 'The weight is a whole number from 1 to 100.', (s) => s.weight !== undefined && !(whole(s.weight, 1) && s.weight <= 100)),
  rule('groups', 'At most 10 labels can be paced by.', (s) => (s.groups?.length ?? 0) > 10),
  rule('canaryLabels', 'At most 5 labels can be covered by the canary: every combination of their values gets hosts of its own.', (s) => (s.canaryLabels?.length ?? 0) > 5),
  rule('bakeMs', 'The bake time cannot be negative.', (s) => !whole(s.bakeMs, 0)),
  rule('checkAtMs', 'At most 20 checks are made while a host is watched, each at more than 0 ms.', (s) => s.checkAtMs !== undefined && (s.checkAtMs.length > 20 || s.checkAtMs.some((at) => !whole(at, 1)))),
  rule('stall.afterMs', 'A transition takes longer than nothing: a stall begins after more than 0 ms.', (s) => !whole(s.stall.afterMs, 1)),
  rule('stall.intervalMs', 'The interval between two stall acts must be more than 0 ms.', (s) => !whole(s.stall.intervalMs, 1)),
  rule('stall.intervalMaxMs', 'The longest interval between two stall acts cannot be shorter than the first.', (s) => !whole(s.stall.intervalMaxMs, s.stall.intervalMs)),
  rule('stall.giveUpMs', 'Giving up on a stall before it is one (afterMs) would fail every slow host.', (s) => !whole(s.stall.giveUpMs, s.stall.afterMs)),
  rule('stall.acts', `At most ${actsMax} stall acts are carried out; the last wait is repeated by itself.`, (s) => s.stall.acts.length > actsMax),
  rule('stall.acts', 'After a reverse the host goes back, so no act can follow it.', (s) => s.stall.acts.slice(0, -1).includes('reverse')),
  rule('retry.attemptsMax', 'At least one try is needed.', (s) => !whole(s.retry.attemptsMax, 1)),
  rule('retry.firstMs', 'The first pause before a retry must be more than 0 ms.', (s) => !whole(s.retry.firstMs, 1)),
  rule('retry.maxMs', 'The longest pause before a retry cannot be shorter than the first.', (s) => !whole(s.retry.maxMs, s.retry.firstMs)),
]

const limitKinds: readonly LimitKind[] = ['failed', 'stalled', 'lost']

function checkLimits({ limits }: Strategy): StrategyFault[] {
  return limitKinds.flatMap((kind) => {
    const limit = limits?.[kind]
    if (!limit) return []
    const at = (part: string, says: string): StrategyFault => ({ path: `limits.${kind}${part}`, says })
    return [
      ...(limit.max === undefined && limit.percent === undefined ? [at('', 'A limit is a number of hosts (max), a share (percent), or both.')] : []),
      ...(limit.max !== undefined && !whole(limit.max, 0) ? [at('.max', 'The number of hosts allowed is a whole number, 0 or more.')] : []),
      ...(limit.percent !== undefined && !(limit.percent >= 0 && limit.percent < 100) ? [at('.percent', 'A share is 0 or more and less than 100 percent; 100 would never be broken.')] : []),
      ...(limit.minSample !== undefined && !whole(limit.minSample, 1) ? [at('.minSample', 'The smallest sample is at least one host.')] : []),
      ...(limit.minSample !== undefined && limit.percent === undefined ? [at('.minSample', 'A smallest sample goes with a percentage; a number of hosts counts from the first.')] : []),
    ]
  })
}

/** Every fault of a strategy; empty when it can be carried out. */
export function checkStrategy(strategy: Strategy): StrategyFault[] {
  const faults = [...rules.flatMap((check) => check(strategy) ?? []), ...checkLimits(strategy)]
  strategy.waves.forEach((size, index) => {
    if (size.kind === 'selector') {
      const read = readSelector(size.selector)
      if (!read.ok) faults.push({ path: `waves.${index}.selector`, says: read.fault.says })
    }
    if (size.kind === 'count' && !whole(size.hosts, 1)) faults.push({ path: `waves.${index}.hosts`, says: 'A wave holds at least one host.' })
    if (size.kind === 'percent' && !(size.percent > 0 && size.percent <= 100)) faults.push({ path: `waves.${index}.percent`, says: 'A wave holds more than 0 and at most 100 percent of the hosts.' })
  })
  strategy.groups?.forEach((group, index) => {
    if (!whole(group.max, 1)) faults.push({ path: `groups.${index}.max`, says: `At least one host of each ${group.label} must be allowed in flight, or nothing ever starts.` })
    if (strategy.groups?.findIndex((one) => one.label === group.label) !== index) faults.push({ path: `groups.${index}.label`, says: `The label ${group.label} has a limit already.` })
  })
  return faults
}
