// The strategy's flags, one table for `rollout plan` and `rollout create`.
import type { BodyOf } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { Ending } from '../exit.js'
import { parseDuration } from '../output/words.js'
import { collect, labelsOf, wholeNumber } from './input.js'

export interface StrategyFlags {
  patch: string; name?: string; all?: boolean; host?: string[]; label?: string[]; where?: string
  waves?: string; canary?: number; maxInFlight?: number; errors?: number; bake?: number
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
    .option('--waves <sizes>', 'sizes after the canary, e.g. 10%,40% or 5,20,100; the rest forms a last wave')
    .option('--canary <n>', 'hosts of every build that go first', wholeNumber)
    .option('--max-in-flight <n>', 'hosts at once', wholeNumber)
    .option('--errors <n>', 'hold when more hosts than this went bad', wholeNumber)
    .option('--bake <time>', 'how long a patched host is watched (10m)', timed)
    .option('--stall-after <time>', 'a transition older than this is stalled (30s)', timed)
    .option('--stall-acts <list>', 'what is tried, in order: wait,nudge,reverse')
    .option('--stall-every <time>', 'first interval between two acts (15s)', timed)
    .option('--stall-give-up <time>', 'a stall older than this is a failure (30m)', timed)
    .option('--on-give-up <act>', 'reverse or hold')
    .option('--retries <n>', 'tries for each host', wholeNumber)
    .option('--on-failure <act>', 'hold, revert-wave or revert-all')
}

type Waves = NonNullable<NonNullable<BodyOf<'rollout.plan'>['strategy']>['waves']>

function wavesOf(text: string): Waves {
  return text.split(',').map((part) => {
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(part.trim())
    if (!match) throw new Ending('usage', `${part} is no wave size.`, 'Write 10% or 25, separated by commas.')
    return match[2] === '%' ? { kind: 'percent' as const, percent: Number(match[1]) } : { kind: 'count' as const, hosts: Number(match[1]) }
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
      stall: {
        ...given('afterMs', flags.stallAfter), ...given('acts', flags.stallActs?.split(',') as ('wait' | 'nudge' | 'reverse')[] | undefined),
        ...given('intervalMs', flags.stallEvery), ...given('giveUpMs', flags.stallGiveUp), ...given('onGiveUp', flags.onGiveUp),
      },
      retry: { ...given('attemptsMax', flags.retries) },
    },
  }
}
