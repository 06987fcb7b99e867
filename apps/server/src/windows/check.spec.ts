import { describe, expect, it } from 'vitest';
import { checkSchedule } from './check.js';
import { readCalendar } from './icalendar.js';
import { DAY, HOUR, type Blackout, type Recurrence, type Schedule, type Window } from './schedule.js';

const NOW = Date.UTC(2026, 0, 1);
const good: Window = { recurrence: { kind: 'cron', expression: '0 22 * * 6' }, timeZone: 'Europe/Berlin', durationMs: 4 * HOUR, cutoffMs: HOUR };
const cron = (expression: string): Partial<Window> => ({ recurrence: { kind: 'cron', expression } });
const rrule = (rule: string, start = '2026-01-03T22:00:00'): Partial<Window> => ({ recurrence: { kind: 'rrule', start, rule } satisfies Recurrence });

const schedule = (part: Partial<Schedule>): Schedule => ({ startAt: null, windows: [], blackouts: [], ...part });
const faults = (part: Partial<Schedule>): string[] => checkSchedule(schedule(part), NOW).map((one) => `${one.path}: ${one.says}`);

describe('checkSchedule accepts', () => {
  const table: [string, Partial<Schedule>][] = [
    ['no restriction at all', {}],
    ['a window by cron', { windows: [good] }],
    ['a window by RRULE', { windows: [{ ...good, ...rrule('FREQ=MONTHLY;BYDAY=-1SU') }] }],
    ['names and steps in cron', { windows: [{ ...good, ...cron('*/30 1-5/2 * JAN-JUN MON,WED') }] }],
    ['an hourly window', { windows: [{ ...good, ...cron('0 * * * *') }] }],
    ['a moment to start at', { startAt: NOW + DAY, windows: [good] }],
    ['a start in the past', { startAt: NOW - DAY }],
    ['an imported calendar', { blackouts: [{ name: 'x', calendar: readCalendar('BEGIN:VCALENDAR\nEND:VCALENDAR') }] }],
  ];
  for (const [name, part] of table) it(name, () => expect(faults(part)).toEqual([]));
});

describe('checkSchedule refuses, with the place', () => {
  const table: [string, Partial<Window>, RegExp][] = [
    ['an hour of 25', cron('0 25 * * *'), /^windows\[0\]\.recurrence\.expression: .*field 2 \(hour\) is "25"/],
    ['a made-up weekday', cron('0 0 * * FUN'), /field 5 \(day of week\) is "FUN"/],
    ['a step of zero', cron('*/0 * * * *'), /field 1 \(minute\)/],
    ['six fields', cron('0 0 22 * * 6'), /has 6 fields; write five/],
    ['a nickname', cron('@daily'), /has 1 field; write five/],
    ['an empty expression', cron('  '), /has 0 fields/],
    ['a long expression', cron('1,'.repeat(600)), /1200 characters long/],
    ['an unknown rule part', rrule('FREQ=DAILY;BANANA=1'), /^windows\[0\]\.recurrence\.rule: .*part 2 \("BANANA=1"\) is not supported/],
    ['a rule part that is a prototype', rrule('FREQ=DAILY;__PROTO__=1'), /is not supported/],
    ['a value out of range', rrule('FREQ=MONTHLY;BYMONTHDAY=45'), /part 2 \("BYMONTHDAY=45"\) must be days from 1 to 31/],
    ['minutely rules', rrule('FREQ=MINUTELY'), /part 1/],
    ['seconds', rrule('FREQ=DAILY;BYSECOND=5'), /BYSECOND=5"\) is not supported/],
    ['a rule without FREQ', rrule('COUNT=3'), /has no FREQ/],
    ['a rule part twice', rrule('FREQ=DAILY;FREQ=DAILY'), /repeats FREQ/],
    ['COUNT with UNTIL', rrule('FREQ=DAILY;COUNT=3;UNTIL=20270101'), /both COUNT and UNTIL/],
    ['an UNTIL that is no date', rrule('FREQ=DAILY;UNTIL=20270230'), /UNTIL=20270230, which is no date/],
    ['a numbered weekday in a week', rrule('FREQ=WEEKLY;BYDAY=2SA'), /numbered BYDAY/],
    ['a long rule', rrule(`FREQ=DAILY;BYHOUR=${'1,'.repeat(600)}1`), /characters long/],
    ['a start with an offset', rrule('FREQ=DAILY', '2026-01-03T22:00:00Z'), /recurrence\.start: .*without offset/],
    ['a start on 30 February', rrule('FREQ=DAILY', '2026-02-30T22:00:00'), /recurrence\.start/],
    ['a start with seconds', rrule('FREQ=DAILY', '2026-01-03T22:00:30'), /whole minutes/],
    ['an unknown time zone', { timeZone: 'Mars/Olympus' }, /^windows\[0\]\.timeZone: "Mars\/Olympus" is not an IANA time zone/],
    ['an offset as time zone', { timeZone: '+02:00' }, /timeZone/],
    ['a duration of zero', { durationMs: 0, cutoffMs: 0 }, /durationMs: The duration must be from one minute to 7 days/],
    ['eight days', { durationMs: 8 * DAY }, /durationMs/],
    ['no number', { durationMs: Number.NaN }, /durationMs/],
    ['a negative cutoff', { cutoffMs: -1 }, /cutoffMs/],
    ['a cutoff as long as the window', { cutoffMs: 4 * HOUR }, /takes the whole window/],
    ['30 February by cron', cron('0 0 30 2 *'), /^windows\[0\]: The window does not open within the next 400 days/],
    ['30 February by rule', rrule('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30'), /does not open/],
    ['a rule that is over', rrule('FREQ=DAILY;UNTIL=20251231', '2025-01-01T00:00:00'), /does not open/],
    ['a window every minute', cron('* * * * *'), /more often than once an hour/],
  ];
  for (const [name, part, says] of table) {
    it(name, () => {
      const found = faults({ windows: [{ ...good, ...part }] });
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(says);
    });
  }

  it('a window that blackouts or the start swallow', () => {
    const freeze = (calendar: unknown): Blackout => ({ name: 'freeze', calendar });
    const weekly = readCalendar('BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260103\nDTEND;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY\nEND:VEVENT\nEND:VCALENDAR', { floatingTimeZone: 'Europe/Berlin' });
    expect(faults({ windows: [good], blackouts: [freeze(weekly)] })).toEqual([expect.stringMatching(/only inside blackouts/)]);
    expect(faults({ windows: [{ ...good, ...rrule('FREQ=DAILY;COUNT=2') }], startAt: NOW + 9 * DAY })).toEqual([expect.stringMatching(/before the start/)]);
  });

  it('too many parts, and a start that is no moment', () => {
    expect(faults({ windows: Array.from({ length: 21 }, () => good) })).toEqual([expect.stringMatching(/^windows: There are 21/)]);
    expect(faults({ blackouts: Array.from({ length: 51 }, () => ({ name: 'x' })) })).toEqual([expect.stringMatching(/^blackouts: There are 51/)]);
    for (const startAt of [Number.NaN, -1, 1.5, 1e18, NOW + 500 * DAY]) expect(faults({ startAt })).toEqual([expect.stringMatching(/^startAt: /)]);
  });

  it('blackouts that are no intervals or no calendar', () => {
    expect(faults({ blackouts: [{ name: 'x', intervals: [{ from: 1, until: 2 }, { from: 5, until: 5 }] }] })).toEqual([expect.stringMatching(/^blackouts\[0\]\.intervals\[1\]: /)]);
    const entry = { uid: '', summary: '', line: 1, timeZone: 'UTC', start: '2026-01-01T00:00:00', days: 0, ms: 1, extra: [], except: [] };
    const shapes = [
      null, 7, {}, { blackouts: [{}], zones: [] }, { blackouts: [{ ...entry, days: 1e9 }], zones: [] }, { blackouts: [{ ...entry, start: 'soon' }], zones: [] },
      { blackouts: [{ ...entry, timeZone: 'Mars/Olympus' }], zones: [] }, { blackouts: [{ ...entry, rule: 'FREQ=SECONDLY' }], zones: [] },
    ];
    for (const calendar of shapes) expect(faults({ blackouts: [{ name: 'x', calendar }] })).toEqual([expect.stringMatching(/^blackouts\[0\]\.calendar: /)]);
  });

  it('twenty rules that are expensive and never come, in bounded time', () => {
    const hours = Array.from({ length: 24 }, (_, hour) => hour).join(',');
    const never = { ...good, ...rrule(`FREQ=DAILY;BYHOUR=${hours};BYSETPOS=366`, '1970-01-01T00:00:00') };
    const begun = performance.now();
    expect(faults({ windows: Array.from({ length: 20 }, () => never) })).toHaveLength(20);
    expect(performance.now() - begun).toBeLessThan(20_000);
  }, 60_000);

  it('everything at once, in order', () => {
    expect(checkSchedule(schedule({ startAt: -1, windows: [{ ...good, ...cron('x'), timeZone: 'y' }, { ...good, durationMs: 0 }] }), NOW).map((one) => one.path))
      .toEqual(['startAt', 'windows[0].recurrence.expression', 'windows[0].timeZone', 'windows[1].durationMs']);
  });
});
