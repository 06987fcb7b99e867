import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { openIntervals } from './expand.js';
import { merge } from './intervals.js';
import { DAY, HOUR, MINUTE, type Blackout, type Interval, type Schedule } from './schedule.js';

/** One seed, so that a failure today is a failure tomorrow. */
const RUN = { seed: 20260329, numRuns: 40 };

/** Days around which the clocks of these zones change, and an ordinary one. */
const PLACES: readonly (readonly [string, string])[] = [
  ['Europe/Berlin', '2026-03-29'], ['Europe/Berlin', '2026-10-25'], ['America/New_York', '2026-03-08'], ['America/New_York', '2026-11-01'],
  ['Australia/Lord_Howe', '2026-10-04'], ['Australia/Lord_Howe', '2026-04-05'], ['Pacific/Apia', '2011-12-30'], ['Asia/Kathmandu', '2026-06-01'], ['UTC', '2026-02-28'],
];
const DAYS = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'] as const;

interface Plan {
  readonly timeZone: string; readonly minutes: number[]; readonly hours: number[]; readonly days: number[];
  readonly durationMs: number; readonly cutoffMs: number;
}

const some = (max: number, atMost: number): fc.Arbitrary<number[]> => fc.uniqueArray(fc.nat(max), { minLength: 1, maxLength: atMost });

const plan = (timeZone: string): fc.Arbitrary<Plan> => fc
  .record({ minutes: some(59, 2), hours: fc.oneof(some(3, 2), some(23, 3)), days: some(6, 4), length: fc.integer({ min: 1, max: 1_800 }), cut: fc.nat(90) })
  .map(({ minutes, hours, days, length, cut }) => ({
    timeZone, minutes, hours, days, durationMs: length * MINUTE, cutoffMs: Math.min(cut, length - 1) * MINUTE,
  }));

const asCron = ({ timeZone, minutes, hours, days, durationMs, cutoffMs }: Plan): Schedule['windows'][number] =>
  ({ recurrence: { kind: 'cron', expression: `${minutes.join()} ${hours.join()} * * ${days.join()}` }, timeZone, durationMs, cutoffMs });

const asRule = ({ timeZone, minutes, hours, days, durationMs, cutoffMs }: Plan): Schedule['windows'][number] => {
  const rule = `FREQ=WEEKLY;BYDAY=${days.map((day) => DAYS[day]).join()};BYHOUR=${hours.join()};BYMINUTE=${minutes.join()}`;
  return { recurrence: { kind: 'rrule', start: '2005-01-02T00:00:00', rule }, timeZone, durationMs, cutoffMs };
};

const cases = fc.constantFrom(...PLACES).chain(([zone, day]) => {
  const from = Temporal.PlainDate.from(day).toZonedDateTime('UTC').epochMilliseconds - DAY;
  const hole = fc.tuple(fc.nat(5_000), fc.integer({ min: 1, max: 600 }))
    .map(([begin, length]) => ({ from: from + begin * MINUTE, until: from + (begin + length) * MINUTE }));
  const blackout: fc.Arbitrary<Blackout> = fc.array(hole, { maxLength: 3 }).map((intervals) => ({ name: 'freeze', intervals }));
  return fc.record({
    from: fc.constant(from),
    plans: fc.array(plan(zone), { maxLength: 3 }),
    blackouts: fc.array(blackout, { maxLength: 2 }),
    startAt: fc.option(fc.nat(2_000).map((minutes) => from + minutes * MINUTE)),
  });
});

/** The same question answered minute by minute: a start is where the clock first passes a scheduled reading. */
function bruteStarts(one: Plan, from: number, until: number): number[] {
  const clock = (moment: number): number =>
    moment + Temporal.Instant.fromEpochMilliseconds(moment).toZonedDateTimeISO(one.timeZone).offsetNanoseconds / 1e6;
  const scheduled = (local: number): boolean => {
    const date = new Date(local);
    return one.days.includes(date.getUTCDay()) && one.hours.includes(date.getUTCHours()) && one.minutes.includes(date.getUTCMinutes());
  };
  const starts: number[] = [];
  let furthest = clock(from - MINUTE);
  for (let moment = from; moment < until; moment += MINUTE) {
    const reading = clock(moment);
    for (let local = furthest + MINUTE; local <= reading; local += MINUTE) if (scheduled(local)) starts.push(moment);
    furthest = Math.max(furthest, reading);
  }
  return starts;
}

function isOpen(moment: number, schedule: Pick<Schedule, 'startAt' | 'blackouts'>, plans: readonly Plan[], starts: readonly number[][]): boolean {
  if (schedule.startAt !== null && moment < schedule.startAt) return false;
  if (schedule.blackouts.some(({ intervals }) => intervals!.some((hole) => hole.from <= moment && moment < hole.until))) return false;
  return plans.length === 0
    || plans.some((one, index) => starts[index]!.some((start) => start <= moment && moment < start + one.durationMs - one.cutoffMs));
}

const within = (intervals: readonly Interval[], moment: number): boolean => intervals.some((one) => one.from <= moment && moment < one.until);

describe('openIntervals for random schedules', () => {
  it('agrees with a minute-by-minute walk, by cron and by RRULE', () => {
    fc.assert(fc.property(cases, ({ from, plans, blackouts, startAt }) => {
      const until = from + 3 * DAY;
      const starts = plans.map((one) => bruteStarts(one, from - 31 * HOUR, until));
      const byCron = openIntervals({ startAt, blackouts, windows: plans.map(asCron) }, from, until);
      const byRule = openIntervals({ startAt, blackouts, windows: plans.map(asRule) }, from, until);
      expect(byRule).toEqual(byCron);
      for (let moment = from; moment < until; moment += MINUTE) {
        if (within(byCron, moment) !== isOpen(moment, { startAt, blackouts }, plans, starts)) {
          throw new Error(`differs at ${new Date(moment).toISOString()}`);
        }
      }
    }), RUN);
  }, 60_000);

  it('answers sorted, disjoint, non-empty intervals inside the span', () => {
    fc.assert(fc.property(cases, ({ from, plans, blackouts, startAt }) => {
      const found = openIntervals({ startAt, blackouts, windows: plans.map(asCron) }, from, from + 20 * DAY);
      for (const [index, one] of found.entries()) {
        expect(one.from).toBeLessThan(one.until);
        expect(one.from).toBeGreaterThan(found[index - 1]?.until ?? from - 1);
        expect(one.until).toBeLessThanOrEqual(from + 20 * DAY);
      }
    }), RUN);
  }, 60_000);

  it('gives for [a,c) the union of [a,b) and [b,c)', () => {
    fc.assert(fc.property(cases, fc.nat(20 * 24 * 60), ({ from, plans, blackouts, startAt }, split) => {
      const schedule = { startAt, blackouts, windows: plans.map(asRule) };
      const [middle, until] = [from + split * MINUTE + 7, from + 20 * DAY];
      const parts = [...openIntervals(schedule, from, middle), ...openIntervals(schedule, middle, until)];
      expect(merge(parts)).toEqual(openIntervals(schedule, from, until));
    }), RUN);
  }, 60_000);
});
