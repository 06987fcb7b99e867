// When hosts may start: the flags of a schedule, and a look at what they come to.
import type { BodyOf } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { action, type Tools } from '../command.js'
import { Ending } from '../exit.js'
import { table } from '../output/table.js'
import { parseDuration } from '../output/words.js'
import { collect, fileBytes } from './input.js'

export interface ScheduleFlags { startAt?: string; window?: string[]; windowZone?: string; windowLasts?: string; windowCutoff?: string; blackouts?: string[] }

type Schedule = BodyOf<'schedule.preview'>['schedule']

export function scheduleOptions(command: Command): Command {
  return command
    .option('--start-at <time>', 'nothing starts before, e.g. 2026-12-01T22:00:00Z')
    .option('--window <recurrence>', 'hosts start only in windows: five cron fields ("0 22 * * SAT"), or START RULE ("2026-01-03T22:00:00 FREQ=WEEKLY;BYDAY=SA"); may be given often', collect)
    .option('--window-zone <zone>', 'their time zone, e.g. Europe/Berlin (UTC)')
    .option('--window-lasts <time>', 'how long each is (2h)')
    .option('--window-cutoff <time>', 'no host starts in its last part (0s)')
    .option('--blackouts <file.ics>', 'an iCalendar file: nothing starts during its events; may be given often', collect)
}

function ms(text: string): number {
  const found = parseDuration(text)
  if (found === null) throw new Ending('usage', `${text} is no duration.`, 'Write 30m or 4h.')
  return found
}

function recurrenceOf(text: string): NonNullable<Schedule['windows']>[number]['recurrence'] {
  const words = text.trim().split(/\s+/)
  const [start = '', rule = ''] = words
  return words.length === 2 && start.includes('T') ? { kind: 'rrule', start, rule } : { kind: 'cron', expression: text.trim() }
}

/** @returns undefined when no flag of a schedule was given. */
export async function scheduleOf(tools: Tools, flags: ScheduleFlags): Promise<Schedule | undefined> {
  if (!flags.startAt && !flags.window && !flags.blackouts) return undefined
  const startAt = flags.startAt === undefined ? null : Date.parse(flags.startAt)
  if (Number.isNaN(startAt)) throw new Ending('usage', `${flags.startAt} is no time.`, 'Write 2026-12-01T22:00:00Z or with an offset.')
  const shared = { timeZone: flags.windowZone ?? 'UTC', durationMs: ms(flags.windowLasts ?? '2h'), cutoffMs: ms(flags.windowCutoff ?? '0s') }
  const blackouts = await Promise.all((flags.blackouts ?? []).map(async (file) => ({
    name: file.split('/').at(-1) ?? file, ...(await tools.client.call('calendar.read', { query: flags.windowZone ? { timeZone: flags.windowZone } : {}, body: await fileBytes(file) })),
  })))
  return { startAt, windows: (flags.window ?? []).map((text) => ({ recurrence: recurrenceOf(text), ...shared })), blackouts }
}

export function scheduleCommands(uptide: Command): void {
  const schedule = uptide.command('schedule').description('When hosts may start: windows, blackouts and a start')
  scheduleOptions(schedule.command('preview').description('Is it open now, and the next ten occurrences; nothing is stored'))
    .action(action<[ScheduleFlags]>(async (tools, flags) => {
      const asked = await scheduleOf(tools, flags)
      if (!asked) throw new Ending('usage', 'Say at least one of --start-at, --window and --blackouts.')
      const shown = await tools.client.call('schedule.preview', { body: { schedule: asked } })
      const rows = shown.occurrences.map((one) => [one.start, one.end, one.window, one.taken.map((part) => part.by).join(', ') || 'nothing', one.open.length > 0 ? 'yes' : 'no'])
      tools.result(shown, `${shown.open ? 'Open' : 'Closed'} now: ${shown.says}${shown.changesAt === null ? '' : ` This changes at ${shown.changesAt}.`}${rows.length > 0 ? `\n\n${table(['start', 'end', 'window', 'taken by', 'usable'], rows)}` : ''}`)
    }))
}
