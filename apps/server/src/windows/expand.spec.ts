import { describe, expect, it } from 'vitest';
import { Temporal } from 'temporal-polyfill';
import { occurrences, openIntervals } from './expand.js';
import { DAY, HOUR, MINUTE, ScheduleError, type Schedule, type Window } from './schedule.js';

const at = (text: string): number => Temporal.Instant.from(text).epochMilliseconds;
const text = (moment: number): string => Temporal.Instant.fromEpochMilliseconds(moment).toString();

function cron(expression: string, timeZone: string, durationMs = HOUR, cutoffMs = 0): Window {
  return { recurrence: { kind: 'cron', expression }, timeZone, durationMs, cutoffMs };
}

function rrule(rule: string, start: string, timeZone: string, durationMs = HOUR, cutoffMs = 0): Window {
  return { recurrence: { kind: 'rrule', start, rule }, timeZone, durationMs, cutoffMs };
}

const only = (...windows: Window[]): Schedule => ({ startAt: null, windows, blackouts: [] });
const starts = (window: Window, after: string, count: number): string[] => occurrences(window, at(after), count).map((one) => text(one.start));

describe('a window on the days the clock changes', () => {
  // Zone, daily local time, a moment before the change, the three starts around it.
  const table: [string, string, string, string[]][] = [
    // Berlin skips 02:00 to 03:00 on 2026-03-29 (01:00Z) and repeats it on 2026-10-25 (01:00Z).
    ['Europe/Berlin', '02:00', '2026-03-28T00:00Z', ['2026-03-28T01:00:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:00:00Z']],
    ['Europe/Berlin', '02:30', '2026-03-28T00:00Z', ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z']],
    ['Europe/Berlin', '02:30', '2026-10-24T00:00Z', ['2026-10-24T00:30:00Z', '2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z']],
    // New York skips 02:00 to 03:00 on 2026-03-08 (07:00Z) and repeats 01:00 to 02:00 on 2026-11-01 (06:00Z).
    ['America/New_York', '02:30', '2026-03-07T00:00Z', ['2026-03-07T07:30:00Z', '2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z']],
    ['America/New_York', '01:30', '2026-10-31T00:00Z', ['2026-10-31T05:30:00Z', '2026-11-01T05:30:00Z', '2026-11-02T06:30:00Z']],
    // Lord Howe moves by half an hour: skips 02:00 to 02:30 on 2026-10-04, repeats 01:30 to 02:00 on 2026-04-05.
    ['Australia/Lord_Howe', '02:15', '2026-10-02T16:00Z', ['2026-10-02T15:45:00Z', '2026-10-03T15:30:00Z', '2026-10-04T15:15:00Z']],
    ['Australia/Lord_Howe', '01:45', '2026-04-03T15:00Z', ['2026-04-03T14:45:00Z', '2026-04-04T14:45:00Z', '2026-04-05T15:15:00Z']],
    // Samoa had no 30 December 2011: that day's window starts when the 31st begins, which is the end of the gap.
    ['Pacific/Apia', '22:00', '2011-12-30T07:00Z', ['2011-12-30T08:00:00Z', '2011-12-30T10:00:00Z', '2011-12-31T08:00:00Z']],
  ];
  for (const [zone, time, after, expected] of table) {
    const [hour, minute] = time.split(':').map(Number);
    it(`starts at ${expected[1]} in ${zone} for ${time}`, () => {
      expect(starts(cron(`${minute} ${hour} * * *`, zone), after, 3)).toEqual(expected);
      expect(starts(rrule('FREQ=DAILY', `2001-01-01T${time}:00`, zone), after, 3)).toEqual(expected);
    });
  }

  it('lasts its duration in elapsed time, not in clock readings', () => {
    const [spring] = occurrences(cron('0 1 * * *', 'Europe/Berlin', 4 * HOUR, HOUR), at('2026-03-28T12:00Z'), 1);
    expect(spring).toEqual({ start: at('2026-03-29T00:00Z'), end: at('2026-03-29T04:00Z'), cutoff: at('2026-03-29T03:00Z') });
  });

  it('starts once for two local times inside the same gap', () => {
    expect(starts(cron('0,30 2 * * *', 'Europe/Berlin', 15 * MINUTE), '2026-03-28T12:00Z', 2))
      .toEqual(['2026-03-29T01:00:00Z', '2026-03-30T00:00:00Z']);
  });

  it('opens once in the repeated hour', () => {
    const found = openIntervals(only(cron('30 2 * * *', 'Europe/Berlin', 15 * MINUTE)), at('2026-10-25T00:00Z'), at('2026-10-25T12:00Z'));
    expect(found).toEqual([{ from: at('2026-10-25T00:30Z'), until: at('2026-10-25T00:45Z') }]);
  });
});

describe('openIntervals', () => {
  const from = at('2026-01-01T00:00Z');

  it('is open throughout without a window', () => {
    expect(openIntervals(only(), from, from + DAY)).toEqual([{ from, until: from + DAY }]);
  });

  it('takes blackouts and the start moment away', () => {
    const blackouts = [{ name: 'freeze', intervals: [{ from: from + 3 * HOUR, until: from + 4 * HOUR }] }];
    expect(openIntervals({ startAt: from + HOUR, windows: [], blackouts }, from, from + 6 * HOUR))
      .toEqual([{ from: from + HOUR, until: from + 3 * HOUR }, { from: from + 4 * HOUR, until: from + 6 * HOUR }]);
  });

  it('counts a long window that began before the span, without its cutoff', () => {
    const week = cron('0 0 1 1 *', 'UTC', 7 * DAY, DAY);
    expect(openIntervals(only(week), from + 5 * DAY, from + 20 * DAY)).toEqual([{ from: from + 5 * DAY, until: from + 6 * DAY }]);
  });

  it('merges windows that overlap or touch', () => {
    const found = openIntervals(only(cron('0 1 * * *', 'UTC', HOUR), cron('0 2 * * *', 'UTC', HOUR), cron('30 2 * * *', 'UTC', HOUR)), from, from + DAY);
    expect(found).toEqual([{ from: from + HOUR, until: from + 3.5 * HOUR }]);
  });

  it('is empty for an empty span', () => {
    expect(openIntervals(only(), from, from)).toEqual([]);
    expect(openIntervals(only(), from, Number.NaN)).toEqual([]);
  });

  it('honours an UNTIL in UTC on the real clock and a local one on the local clock', () => {
    const inUtc = rrule('FREQ=DAILY;UNTIL=20260103T210000Z', '2026-01-01T22:00:00', 'Europe/Berlin');
    const early = rrule('FREQ=DAILY;UNTIL=20260103T205959Z', '2026-01-01T22:00:00', 'Europe/Berlin');
    const day = rrule('FREQ=DAILY;UNTIL=20260103', '2026-01-01T22:00:00', 'Europe/Berlin');
    expect([inUtc, early, day].map((one) => occurrences(one, from, 9).length)).toEqual([3, 2, 3]);
  });

  it('counts COUNT from the start, not from the asked moment', () => {
    expect(starts(rrule('FREQ=WEEKLY;BYDAY=SA;COUNT=2', '2026-01-03T22:00:00', 'UTC'), '2026-01-05T00:00Z', 9)).toEqual(['2026-01-10T22:00:00Z']);
  });

  it('throws a typed error for malformed or too dense schedules', () => {
    for (const bad of [cron('61 * * * *', 'UTC'), cron('* * * * *', 'Mars/Olympus'), rrule('FREQ=FOO', '2026-01-01T00:00:00', 'UTC'), rrule('FREQ=DAILY', 'soon', 'UTC')]) {
      expect(() => openIntervals(only(bad), from, from + DAY)).toThrow(ScheduleError);
    }
    expect(() => openIntervals(only(cron('* * * * *', 'UTC')), from, from + 60 * DAY)).toThrow(/more than 20000 times/);
  });
});

describe('the cost of a search', () => {
  const never: [string, Window][] = [
    ['cron 30 February', cron('0 0 30 2 *', 'Europe/Berlin')],
    ['yearly 30 February', rrule('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', '2001-01-01T00:00:00', 'Europe/Berlin')],
    ['hourly 30 February', rrule('FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30', '1971-01-01T00:00:00', 'Europe/Berlin')],
    ['a week and a day that never meet', rrule('FREQ=YEARLY;BYWEEKNO=53;BYYEARDAY=100', '2001-01-01T00:00:00', 'Europe/Berlin')],
    ['a sixth Saturday', rrule('FREQ=MONTHLY;BYDAY=6SA', '2001-01-01T00:00:00', 'Europe/Berlin')],
    ['a rule that ended', rrule('FREQ=HOURLY;COUNT=1000', '1971-01-01T00:00:00', 'Europe/Berlin')],
  ];
  for (const [name, window] of never) {
    it(`ends for ${name}`, () => {
      const begun = performance.now();
      expect(occurrences(window, at('2026-01-01T00:00Z'), 10)).toEqual([]);
      expect(performance.now() - begun).toBeLessThan(5_000);
    });
  }

  it('finds the next 29 February across a century that has none', () => {
    expect(starts(cron('0 0 29 2 *', 'UTC'), '2096-03-01T00:00Z', 1)).toEqual(['2104-02-29T00:00:00Z']);
  });

  it('ends for a rule with very many candidates', () => {
    const all = (upTo: number): string => Array.from({ length: upTo }, (_, index) => index).join(',');
    const heavy = rrule(`FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=${all(24)};BYSETPOS=-1`, '1971-01-01T00:00:00', 'UTC');
    const begun = performance.now();
    expect(starts(heavy, '2026-01-01T00:00Z', 1)).toEqual(['2026-12-31T23:00:00Z']);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});
