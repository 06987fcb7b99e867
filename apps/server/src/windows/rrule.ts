import { RRuleTemporal } from 'rrule-temporal';
import { Temporal } from 'temporal-polyfill';
import { DAY, LIMITS, ScheduleError } from './schedule.js';
import { readLocal, writeLocal } from './zone.js';

/** A validated RRULE. `until` is taken out of the text: an UTC end is compared on the real clock, a local one is not. */
export interface Rule {
  readonly text: string;
  readonly untilInstant: number;
  readonly untilLocal: number;
}

const WEEKDAY = '(?:MO|TU|WE|TH|FR|SA|SU)';
const list = (item: string): RegExp => new RegExp(`^${item}(?:,${item})*$`);

/** RFC 5545 section 3.3.10, each part with the values it may have. The library drops bad values silently; we do not. */
const PARTS: Readonly<Record<string, { readonly form: RegExp; readonly means: string }>> = {
  FREQ: { form: /^(?:YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY)$/, means: 'YEARLY, MONTHLY, WEEKLY, DAILY or HOURLY' },
  INTERVAL: { form: /^[1-9]\d{0,3}$/, means: 'a number from 1 to 9999' },
  /** Every expansion counts from the start again, so the bound is one of time. */
  COUNT: { form: /^(?:[1-9]\d{0,2}|1000)$/, means: 'a number from 1 to 1000' },
  UNTIL: { form: /^\d{8}(?:T\d{6}Z?)?$/, means: 'a date or date-time such as 20261231T235959Z' },
  BYMONTH: { form: list('(?:0?[1-9]|1[0-2])'), means: 'months from 1 to 12' },
  BYWEEKNO: { form: list('[+-]?(?:0?[1-9]|[1-4]\\d|5[0-3])'), means: 'weeks from 1 to 53 or -53 to -1' },
  BYYEARDAY: { form: list('[+-]?(?:0{0,2}[1-9]|0?[1-9]\\d|[12]\\d\\d|3[0-5]\\d|36[0-6])'), means: 'days from 1 to 366 or -366 to -1' },
  BYMONTHDAY: { form: list('[+-]?(?:0?[1-9]|[12]\\d|3[01])'), means: 'days from 1 to 31 or -31 to -1' },
  BYDAY: { form: list(`(?:[+-]?(?:0?[1-9]|[1-4]\\d|5[0-3]))?${WEEKDAY}`), means: 'weekdays such as SA or -1SU' },
  BYHOUR: { form: list('(?:[01]?\\d|2[0-3])'), means: 'hours from 0 to 23' },
  BYMINUTE: { form: list('[0-5]?\\d'), means: 'minutes from 0 to 59' },
  BYSETPOS: { form: list('[+-]?(?:0{0,2}[1-9]|0?[1-9]\\d|[12]\\d\\d|3[0-5]\\d|36[0-6])'), means: 'positions from 1 to 366 or -366 to -1' },
  WKST: { form: new RegExp(`^${WEEKDAY}$`), means: 'one weekday such as MO' },
};

/** Combinations that RFC 5545 section 3.3.10 forbids. */
const FORBIDDEN: readonly { readonly when: (parts: Map<string, string>) => boolean; readonly says: string }[] = [
  { when: (parts) => !parts.has('FREQ'), says: 'has no FREQ; begin it with, for example, FREQ=WEEKLY' },
  { when: (parts) => parts.has('COUNT') && parts.has('UNTIL'), says: 'has both COUNT and UNTIL; keep one' },
  { when: (parts) => parts.has('BYWEEKNO') && parts.get('FREQ') !== 'YEARLY', says: 'has BYWEEKNO, which needs FREQ=YEARLY' },
  {
    when: (parts) => parts.has('BYYEARDAY') && /DAILY|WEEKLY|MONTHLY/.test(parts.get('FREQ')!),
    says: 'has BYYEARDAY, which FREQ=DAILY, WEEKLY and MONTHLY do not allow',
  },
  { when: (parts) => parts.has('BYMONTHDAY') && parts.get('FREQ') === 'WEEKLY', says: 'has BYMONTHDAY, which FREQ=WEEKLY does not allow' },
  {
    when: (parts) => /\d/.test(parts.get('BYDAY') ?? '')
      && (!/YEARLY|MONTHLY/.test(parts.get('FREQ')!) || parts.has('BYWEEKNO')),
    says: 'has a numbered BYDAY, which needs FREQ=MONTHLY or YEARLY, without BYWEEKNO',
  },
  {
    when: (parts) => times(parts) > 24,
    says: 'names more than 24 times a day (BYHOUR and BYMINUTE together); name fewer',
  },
  {
    when: (parts) => parts.has('BYSETPOS') && ![...parts.keys()].some((key) => /^BY(?!SETPOS)/.test(key)),
    says: 'has BYSETPOS without another BY part to choose from',
  },
];

/** Times of day that the rule combines; an hourly rule already has 24 of them. */
function times(parts: Map<string, string>): number {
  const length = (key: string): number => parts.get(key)?.split(',').length ?? 1;
  return (parts.get('FREQ') === 'HOURLY' ? 24 : length('BYHOUR')) * length('BYMINUTE');
}

/** The rule, or the sentence that says what is wrong with it and where. Minute precision: no MINUTELY, no BYSECOND. */
export function readRule(rule: string): Rule | string {
  if (rule.length > LIMITS.text) return `is ${rule.length} characters long; at most ${LIMITS.text} are read`;
  const parts = new Map<string, string>();
  for (const [index, piece] of rule.trim().toUpperCase().split(';').entries()) {
    const [key, value, rest] = piece.split('=');
    const where = `part ${index + 1} ("${piece.slice(0, 40)}")`;
    if (key === undefined || value === undefined || rest !== undefined) return `${where} is not of the form NAME=VALUE`;
    const part = Object.hasOwn(PARTS, key) ? PARTS[key] : undefined;
    if (part === undefined) return `${where} is not supported; these are: ${Object.keys(PARTS).join(', ')}`;
    if (parts.has(key)) return `${where} repeats ${key}`;
    if (!part.form.test(value)) return `${where} must be ${part.means}`;
    parts.set(key, value);
  }
  const forbidden = FORBIDDEN.find((one) => one.when(parts));
  if (forbidden !== undefined) return forbidden.says;
  const until = readUntil(parts.get('UNTIL'));
  if (until === null) return `ends with UNTIL=${parts.get('UNTIL')}, which is no date`;
  parts.delete('UNTIL');
  return { text: [...parts].map((pair) => pair.join('=')).join(';'), ...until };
}

/** A bare date includes its whole day, as every calendar program reads it. */
function readUntil(text: string | undefined): { untilInstant: number; untilLocal: number } | null {
  if (text === undefined) return { untilInstant: Infinity, untilLocal: Infinity };
  const time = text.length > 8 ? text.slice(9, 15) : '235959';
  const digits = /^(....)(..)(..)$/.exec(text.slice(0, 8))!.slice(1).join('-');
  // 99991231 is how some programs write "for ever".
  const local = text.startsWith('9999') ? Infinity : readLocal(`${digits}T${time.replace(/^(..)(..)/, '$1:$2:')}`);
  if (local === null) return null;
  return text.endsWith('Z') ? { untilInstant: local, untilLocal: Infinity } : { untilInstant: Infinity, untilLocal: local };
}

/**
 * The local times in [from, until) that the rule produces, in order, on a clock without changes (see cronLocals).
 * Throws ScheduleError when the rule needs more steps than the bound allows.
 */
export function ruleLocals(rule: Rule, start: number, from: number, until: number): number[] {
  const end = Math.min(until - 1, rule.untilLocal);
  if (end < start || end < from) return [];
  // Without a COUNT the library jumps to `from`; with one it walks there from the start, every time.
  const steps = rule.text.includes('COUNT=') ? 5_000 : 20_000;
  try {
    const expander = new RRuleTemporal({
      rruleString: `RRULE:${rule.text}`, dtstart: utc(start), maxIterations: steps, maxCandidateEvaluations: steps, cache: false,
    });
    return expander.between(utc(Math.max(from, start)), utc(end), true).map((one) => one.epochMilliseconds);
  } catch (error) {
    throw new ScheduleError(`the rule ${rule.text} cannot be expanded: ${(error as Error).message.slice(0, 200)}`, { cause: error });
  }
}

/**
 * The rule with its COUNT turned into the UNTIL it amounts to, so that later expansions need not count from the start
 * again. A rule that produces nothing ends at its start. Throws ScheduleError like ruleLocals.
 */
export function withoutCount(rule: Rule, start: number): string {
  const parts = rule.text.split(';').filter((part) => !part.startsWith('COUNT='));
  const last = ruleLocals(rule, start, start, start + 200 * 366 * DAY).at(-1) ?? start;
  return [...parts, `UNTIL=${writeLocal(last).replaceAll(/[-:]/g, '')}`].join(';');
}

function utc(local: number): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(local).toZonedDateTimeISO('UTC');
}
