import type { Event } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { action } from '../command.js'
import { Ending } from '../exit.js'
import { inert } from '../output/inert.js'
import { follow } from '../stream.js'
import { wholeNumber } from './input.js'

interface Flags { rollout?: string; host?: string; kind?: string; after?: string; follow?: boolean; limit?: number; verify?: boolean }

export const eventLine = (event: Event): string => {
  const says = (event.data['reason'] as { says?: string } | undefined)?.says ?? event.data['says']
  const about = [event.data['host'], event.data['name'], event.data['rollout']].filter((one) => typeof one === 'string').join(' ')
  return inert(`${event.seq.padStart(6)}  ${event.at}  ${event.principal.padEnd(14)} ${event.kind.padEnd(22)} ${about}${typeof says === 'string' ? `  ${says}` : ''}`).trimEnd()
}

export function eventCommands(uptide: Command): void {
  uptide.command('events').description('What was done, by whom, in order; a hash chain')
    .option('--rollout <id>', 'only of this rollout (id or name)')
    .option('--host <name>', 'only of this host')
    .option('--kind <kind>', 'only this kind, e.g. target.patched')
    .option('--after <seq>', 'only later than this sequence number')
    .option('--limit <n>', 'at most so many', wholeNumber)
    .option('-f, --follow', 'go on as they happen')
    .option('--verify', 'check the whole chain on the server')
    .action(action<[Flags]>(async ({ client, result, json }, flags) => {
      if (flags.verify) {
        const verdict = await client.call('event.verify')
        result(verdict, verdict.says)
        if (!verdict.ok) throw new Ending('ended', verdict.says)
        return
      }
      const rolloutId = flags.rollout ? (await client.call('rollout.show', { params: { id: flags.rollout } })).id : undefined
      const hostId = flags.host ? (await client.call('host.show', { params: { name: flags.host } })).id : undefined
      let seen = flags.after ?? '0'; let left = flags.limit ?? Number.POSITIVE_INFINITY
      const show = (event: Event): void => { seen = event.seq; process.stdout.write(`${json ? JSON.stringify(event) : eventLine(event)}\n`) }
      for await (const event of client.all('event.list', { query: { rolloutId, hostId, kind: flags.kind, after: flags.after } })) {
        if (left-- <= 0) return
        show(event)
      }
      if (!flags.follow) return
      for await (const message of follow(client, { rolloutId, after: seen })) {
        if (message.kind !== 'event') continue
        const event = message.data as Event
        if ((!hostId || event.hostId === hostId) && (!flags.kind || event.kind === flags.kind)) show(event)
      }
    }))
}
