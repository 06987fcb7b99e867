// The strategy's flags, one table for `rollout plan` and `rollout create`.
import type { BodyOf } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { Ending } from '../exit.js'
import { parseDuration } from '../output/words.js'
import { collect, labelsOf, wholeNumber } from './input.js'

export interface StrategyFlags {
  patch: string; name?: string; all?: boolean; host?: string[]; label?: string[]; where?: string
  waves?: string; canary?: number; maxInFlight?: number; errors?: number; bake?: number
  limit?: string[]; stoppedBuilds?: number; canaryLabel?: string[]; group?: string[]; priority?: number; weight?: number; approvals?: number; countInFlight?: boolean; checkAt?: string
  stallAfter?: number; stallActs?: string; stallEvery?: number; stallGiveUp?: number; onGiveUp?: 'reverse' | 'hold'
  retries?: number; onFailure?: 'hold' | 'revert-wave' | 'revert-all'
}

const timed = (text: string): number => {
  const ms = parseDuration(text)
  if (ms === null) throw new Ending('usage', `${text} is no duration.`, 'Write 500ms, 30s, 10m or 2h.')
  return ms
}

export function strategyOptions(command: Command): Command {
  return command
    .requiredOption('--patch <name>', 'what to roll out')
    .option('--all', 'every host')
    .option('--host <name>', 'this host; may be given often', collect)
    .option('--label <key=value>', 'hosts with this label; all must match', collect)
    .option('--where <selector>', 'hosts that answer to an expression: \'label.role in (web, db) and kernel < 6.12\'')
    .option('--name <name>', 'a name for the rollout')
    .option('--waves <sizes>', 'sizes after the canary, separated by commas: 10%, 25 hosts, or where:label.stage = early; the rest forms a last wave')
    .option('--canary <n>', 'hosts of every build that go first', wholeNumber)
    .option('--canary-label <key>', 'the canary covers every value of this label too; may be given often', collect)
    .option('--max-in-flight <n>', 'hosts at once', wholeNumber)
    .option('--group <label=n>', 'at most n hosts with the same value of the label at once, e.g. rack=1; may be given often', collect)
    .option('--approvals <n>', 'so many people beside you approve the plan before it starts', wholeNumber)
    .option('--priority <n>', '0 to 100; the higher rollout goes first where two want the same host or place (50)', wholeNumber)
    .option('--weight <n>', 'part of the places among rollouts of one priority (1)', wholeNumber)
    .option('--limit <kind=n>', 'hold beyond so many failed, stalled or lost hosts: failed=5, lost=2%, stalled=10%/50 (of at least 50); may be given often', collect)
    .option('--stopped-builds <n>', 'hold when more builds than this went bad in the canary (1)', wholeNumber)
    .option('--count-in-flight', 'count hosts in flight as possible failures, so that no limit can be exceeded')
    .option('--errors <n>', 'hold when more hosts than this went bad', wholeNumber)
    .option('--bake <time>', 'how long a patched host is watched (10m)', timed)
    .option('--check-at <times>', 'moments after patching at which the kernel is asked while a host is watched (1m,5m,15m)')
    .option('--stall-after <time>', 'a transition older than this is stalled (30s)', timed)
    .option('--stall-acts <list>', 'what is tried, in order: wait,nudge,reverse')
    .option('--stall-every <time>', 'first interval between two acts (15s)', timed)
    .option('--stall-give-up <time>', 'a stall older than this is a failure (30m)', timed)
    .option('--on-give-up <act>', 'reverse or hold')
    .option('--retries <n>', 'tries for each host', wholeNumber)
    .option('--on-failure <act>', 'hold, revert-wave or revert-all')
}

/** Split at commas, but not inside the brackets or quotes of a selector. */
function parts(text: string): string[] {
  const found: string[] = ['']
  let depth = 0
  let quoted = false
  for (const char of text) {
    if (char === '"') quoted = !quoted
    if (!quoted) depth += char === '(' ? 1 : char === ')' ? -1 : 0
    if (char === ',' && depth === 0 && !quoted) found.push('')
    else found[found.length - 1] += char
  }
  return found
}

type Waves = NonNullable<NonNullable<BodyOf<'rollout.plan'>['strategy']>['waves']>

function wavesOf(text: string): Waves {
  return parts(text).map((part) => {
    if (part.trim().startsWith('where:')) return { kind: 'selector' as const, selector: part.trim().slice('where:'.length).trim() }
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(part.trim())
    if (!match) throw new Ending('usage', `${part} is no wave size.`, 'Write 10% or 25, separated by commas.')
    return match[2] === '%' ? { kind: 'percent' as const, percent: Number(match[1]) } : { kind: 'count' as const, hosts: Number(match[1]) }
  })
}

type Said = NonNullable<BodyOf<'rollout.plan'>['strategy']>

function limitsOf(texts: readonly string[]): NonNullable<Said['limits']> {
  return Object.fromEntries(texts.map((text) => {
    const match = /^(failed|stalled|lost)=(\d+(?:\.\d+)?)(%?)(?:\/(\d+))?$/.exec(text)
    if (!match) throw new Ending('usage', `${text} is no limit.`, 'Write failed=5, lost=2% or stalled=10%/50.')
    const [, kind, number, percent, sample] = match
    return [kind, percent === '%' ? { percent: Number(number), ...(sample === undefined ? {} : { minSample: Number(sample) }) } : { max: Number(number) }]
  })) as NonNullable<Said['limits']>
}

function groupsOf(texts: readonly string[]): NonNullable<Said['groups']> {
  return texts.map((text) => {
    const at = text.lastIndexOf('=')
    const max = Number(text.slice(at + 1))
    if (at < 1 || !Number.isInteger(max) || max < 1) throw new Ending('usage', `${text} is no group limit.`, 'Write rack=1 or zone=20.')
    return { label: text.slice(0, at), max }
  })
}

/** Only what was said; the server fills in the rest from its defaults. */
export function askOf(flags: StrategyFlags): BodyOf<'rollout.plan'> {
  const given = <K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } => (value === undefined ? {} : { [key]: value }) as { [P in K]?: V }
  return {
    patch: flags.patch, ...given('name', flags.name),
    selection: { ...given('all', flags.all), ...given('hosts', flags.host), ...given('labels', flags.label ? labelsOf(flags.label) : undefined), ...given('selector', flags.where) },
    strategy: {
      ...given('waves', flags.waves === undefined ? undefined : wavesOf(flags.waves)),
      ...given('canaryPerBuild', flags.canary), ...given('inFlightMax', flags.maxInFlight), ...given('errorsMax', flags.errors),
      ...given('bakeMs', flags.bake), ...given('onFailure', flags.onFailure),
      ...given('canaryLabels', flags.canaryLabel), ...given('groups', flags.group ? groupsOf(flags.group) : undefined), ...given('limits', flags.limit ? limitsOf(flags.limit) : undefined),
      ...given('stoppedBuildsMax', flags.stoppedBuilds), ...given('countInFlight', flags.countInFlight), ...given('checkAtMs', flags.checkAt?.split(',').map((time) => timed(time.trim()))), ...given('approvals', flags.approvals === undefined ? undefined : { needed: flags.approvals }), ...given('priority', flags.priority), ...given('weight', flags.weight),
      stall: {
        ...given('afterMs', flags.stallAfter), ...given('acts', flags.stallActs?.split(',') as ('wait' | 'nudge' | 'reverse')[] | undefined),
        ...given('intervalMs', flags.stallEvery), ...given('giveUpMs', flags.stallGiveUp), ...given('onGiveUp', flags.onGiveUp),
      },
      retry: { ...given('attemptsMax', flags.retries) },
    },
  }
}
