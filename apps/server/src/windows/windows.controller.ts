import { Controller } from '@nestjs/common'
import { refuse } from '../http/problem.js'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'
import { checkSchedule } from './check.js'
import { CalendarError, readCalendar } from './icalendar.js'
import { preview } from './preview.js'
import type { Schedule } from './schedule.js'
import { placeOf, windowOf } from './window-of.js'

const at = (ms: number): string => new Date(ms).toISOString()

@Controller()
export class WindowsController {
  constructor(private readonly parts: Parts) {}

  @Route('schedule.preview')
  async preview(@inputOf() { body }: Input<'schedule.preview'>) {
    const schedule = body.schedule as Schedule
    const now = await this.parts.store.now()
    const faults = checkSchedule(schedule, now)
    if (faults.length > 0) throw refuse(422, 'IMPOSSIBLE_SCHEDULE', `This schedule cannot be kept: ${faults[0]?.says}`, { at: faults.map((fault) => ({ path: `schedule.${placeOf(fault.path)}`, says: fault.says })) })
    const { open, changesAt, says } = windowOf(schedule, now)
    return {
      now: at(now), open, says, changesAt: changesAt === null ? null : at(changesAt),
      occurrences: preview(schedule, now, body.count).map((one) => ({
        window: one.title, start: at(one.start), end: at(one.end), cutoff: at(one.cutoff),
        taken: one.taken.map((part) => ({ by: part.by, from: at(part.from), until: at(part.until) })), open: one.open.map((part) => ({ from: at(part.from), until: at(part.until) })),
      })),
    }
  }

  @Route('calendar.read')
  read(@inputOf() { body, query }: Input<'calendar.read'>) {
    try {
      return { calendar: readCalendar(new TextDecoder('utf-8', { fatal: false }).decode(body), query.timeZone === undefined ? {} : { floatingTimeZone: query.timeZone }) as unknown as Record<string, unknown> }
    } catch (error) {
      if (!(error instanceof CalendarError)) throw error
      throw refuse(422, 'BAD_CALENDAR', error.message)
    }
  }
}
