import type { Command } from 'commander'
import { action } from '../command.js'
import { Ending } from '../exit.js'

const said = (max: number | null): string => (max === null ? 'The installation has no limit of its own on hosts in flight.' : `At most ${max} hosts are in flight at once in the whole installation.`)

export function pacingCommands(uptide: Command): void {
  uptide.command('pacing').description('How many hosts may be in flight in the whole installation, over all rollouts')
    .option('--max-in-flight <n>', 'a number, or none')
    .action(action<[{ maxInFlight?: string }]>(async ({ client, result }, { maxInFlight }) => {
      if (maxInFlight !== undefined && maxInFlight !== 'none' && !/^[1-9]\d*$/.test(maxInFlight)) throw new Ending('usage', `${maxInFlight} is no number of hosts.`, 'Write a whole number, 1 or more, or none.')
      const now = maxInFlight === undefined ? await client.call('pacing.show')
        : await client.call('pacing.set', { body: { inFlightMax: maxInFlight === 'none' ? null : Number(maxInFlight) } })
      result(now, said(now.inFlightMax))
    }))
}
