import { Cron } from 'croner';
import { LIMITS, ScheduleError } from './schedule.js';

const FIELDS = ['minute', 'hour', 'day of month', 'month', 'day of week'] as const;

/**
 * What is wrong with a five-field cron expression, or null. The sentence names the field.
 *
 * Five fields only: no seconds, no years, no @daily. As in POSIX, a day matches if either the day of month or the
 * day of week does, when both are restricted.
 */
export function cronFault(expression: string): string | null {
  if (expression.length > LIMITS.text) return `is ${expression.length} characters long; at most ${LIMITS.text} are read`;
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== FIELDS.length || fields[0] === '') {
    const found = fields[0] === '' ? 0 : fields.length;
    return `has ${found} field${found === 1 ? '' : 's'}; write five: ${FIELDS.join(', ')} (seconds are not supported)`;
  }
  for (const [index, field] of fields.entries()) {
    const alone = FIELDS.map((_, at) => (at === index ? field : '*')).join(' ');
    const fault = refusal(alone);
    if (fault !== null) return `field ${index + 1} (${FIELDS[index]}) is "${field.slice(0, 40)}": ${fault}`;
  }
  return refusal(expression);
}

function refusal(expression: string): string | null {
  try {
    parse(expression);
    return null;
  } catch (error) {
    return (error as Error).message.replace(/^CronPattern: /, '').slice(0, 200);
  }
}

function parse(expression: string): Cron {
  return new Cron(expression, { timezone: 'UTC', mode: '5-part', paused: true });
}

/**
 * The local times in [from, until) that the expression names, in order.
 *
 * The pattern is evaluated on a clock without changes (UTC standing for "local"), so that cron and RRULE share one
 * rule for the days on which the real clock changes. A pattern that never matches ends when croner gives up in the
 * year 10000, after some milliseconds.
 */
export function* cronLocals(expression: string, from: number, until: number): Generator<number> {
  const fault = cronFault(expression);
  if (fault !== null) throw new ScheduleError(`the cron expression ${fault}`);
  const cron = parse(expression);
  // nextRun answers strictly later times, and counts in whole seconds.
  let next = cron.nextRun(new Date(Math.ceil(from / 1000) * 1000 - 1000));
  while (next !== null && next.getTime() < until) {
    yield next.getTime();
    next = cron.nextRun(next);
  }
}
