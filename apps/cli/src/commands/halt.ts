import type { Halt } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { action } from '../command.js'

const suspectsShown = 10

function haltLines(halt: Halt): string {
  const more = halt.suspects.length > suspectsShown ? [`    and ${halt.suspects.length - suspectsShown} more`] : []
  return [
    `${halt.id}  ${halt.patch} for ${halt.kernelRelease}  ${halt.at}`,
    `  ${halt.reason.says}`,
    `  rollout ${halt.rollout}   sha256 ${halt.sha256}`,
    ...(halt.releasedAt === null ? [] : [`  released ${halt.releasedAt} by ${halt.releasedBy}: ${halt.releasedSays}`]),
    ...halt.suspects.slice(0, suspectsShown).map((one) => `    suspect ${one.host}  ${one.state} in ${one.rollout}${one.reason ? `  (${one.reason.says})` : ''}`), ...more,
  ].join('\n')
}

export function haltCommands(uptide: Command): void {
  const halt = uptide.command('halt').description('Artefacts that harmed a host: they start nowhere until a person releases them')
  halt.command('list').description('Halts that hold, newest first')
    .option('--released', 'those that were released')
    .action(action<[{ released?: boolean }]>(async ({ client, result }, flags) => {
      const halts: Halt[] = []
      for await (const one of client.all('halt.list', { query: { released: flags.released ? 'yes' : 'no' } })) halts.push(one)
      result(halts, halts.length === 0 ? 'No artefact is halted.' : halts.map(haltLines).join('\n\n'))
    }))
  halt.command('release <id>').description('Let the artefact start again')
    .requiredOption('--reason <text>', 'why it is no danger; kept for good')
    .action(action<[string, { reason: string }]>(async ({ client, result }, id, { reason }) => {
      const done = await client.call('halt.release', { params: { id }, body: { reason } })
      result(done, `Released; ${done.patch} for ${done.kernelRelease} may start again.`)
    }))
}
