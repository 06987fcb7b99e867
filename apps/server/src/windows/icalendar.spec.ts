import { describe, expect, it } from 'vitest';
import { Temporal } from 'temporal-polyfill';
import { calendarIntervals } from './blackouts.js';
import { CalendarError, readCalendar } from './icalendar.js';
import { DAY, type Calendar } from './schedule.js';

const at = (text: string): number => Temporal.Instant.from(text).epochMilliseconds;
const stamp = (moment: number): string => Temporal.Instant.fromEpochMilliseconds(moment).toString().replace(':00Z', 'Z');

const calendar = (...lines: string[]): string => ['BEGIN:VCALENDAR', 'VERSION:2.0', ...lines, 'END:VCALENDAR', ''].join('\r\n');
const event = (...lines: string[]): string[] => ['BEGIN:VEVENT', 'UID:1', ...lines, 'END:VEVENT'];

/** What the calendar covers in the span, after the round trip through a database column. */
function covered(text: string, from: string, until: string, floatingTimeZone?: string): string[] {
  const stored = JSON.parse(JSON.stringify(readCalendar(text, { floatingTimeZone }))) as Calendar;
  return calendarIntervals(stored, at(from), at(until)).map((one) => `${stamp(one.from)}/${stamp(one.until)}`);
}

const YEAR = ['2026-01-01T00:00Z', '2027-01-01T00:00Z'] as const;

describe('readCalendar', () => {
  it('reads a time with an IANA zone, an end or a duration', () => {
    const text = calendar(
      ...event('DTSTART;TZID=Europe/Berlin:20260105T220000', 'DTEND;TZID=Europe/Berlin:20260106T020000'),
      ...event('DTSTART:20260201T100000Z', 'DURATION:PT90M'));
    expect(covered(text, ...YEAR)).toEqual(['2026-01-05T21:00Z/2026-01-06T01:00Z', '2026-02-01T10:00Z/2026-02-01T11:30Z']);
  });

  it('reads whole days on the clock of the given zone, also when the clock changes', () => {
    const text = calendar(...event('DTSTART;VALUE=DATE:20260329'), ...event('DTSTART;VALUE=DATE:20261223', 'DTEND;VALUE=DATE:20261227'));
    expect(covered(text, ...YEAR, 'Europe/Berlin'))
      .toEqual(['2026-03-28T23:00Z/2026-03-29T22:00Z', '2026-12-22T23:00Z/2026-12-26T23:00Z']);
  });

  it('takes X-WR-TIMEZONE for floating times unless a zone is given', () => {
    const text = calendar('X-WR-TIMEZONE:America/New_York', ...event('DTSTART:20260105T120000', 'DURATION:PT1H'));
    expect(covered(text, ...YEAR)).toEqual(['2026-01-05T17:00Z/2026-01-05T18:00Z']);
    expect(covered(text, ...YEAR, 'Europe/Berlin')).toEqual(['2026-01-05T11:00Z/2026-01-05T12:00Z']);
  });

  it('expands RRULE on the local clock, with EXDATE, RDATE and an override', () => {
    const text = calendar(
      ...event('DTSTART;TZID=Europe/Berlin:20260301T080000', 'DURATION:PT1H', 'RRULE:FREQ=WEEKLY;COUNT=6',
        'EXDATE;TZID=Europe/Berlin:20260308T080000', 'EXDATE:20260315T070000Z', 'RDATE;VALUE=PERIOD:20260401T100000Z/PT2H'),
      ...event('RECURRENCE-ID;TZID=Europe/Berlin:20260322T080000', 'DTSTART;TZID=Europe/Berlin:20260323T090000', 'DURATION:PT30M'),
      ...event('RECURRENCE-ID;TZID=Europe/Berlin:20260405T080000', 'DTSTART;TZID=Europe/Berlin:20260405T080000', 'DURATION:PT30M', 'STATUS:CANCELLED'));
    expect(covered(text, ...YEAR)).toEqual([
      '2026-03-01T07:00Z/2026-03-01T08:00Z', '2026-03-23T08:00Z/2026-03-23T08:30Z',
      '2026-03-29T06:00Z/2026-03-29T07:00Z', '2026-04-01T10:00Z/2026-04-01T12:00Z',
    ]);
  });

  it('removes a whole day by an EXDATE that is a date', () => {
    const text = calendar(...event('DTSTART:20260101T080000Z', 'DURATION:PT1H', 'RRULE:FREQ=DAILY;UNTIL=20260103', 'EXDATE;VALUE=DATE:20260102'));
    expect(covered(text, ...YEAR, 'UTC')).toEqual(['2026-01-01T08:00Z/2026-01-01T09:00Z', '2026-01-03T08:00Z/2026-01-03T09:00Z']);
  });

  it('keeps the nominal length of a DURATION in days and the exact length of a DTEND', () => {
    const days = calendar(...event('DTSTART;TZID=Europe/Berlin:20260328T120000', 'DURATION:P1D'));
    const exact = calendar(...event('DTSTART;TZID=Europe/Berlin:20260327T120000', 'DTEND;TZID=Europe/Berlin:20260328T120000', 'RRULE:FREQ=DAILY;COUNT=2', 'EXDATE;TZID=Europe/Berlin:20260327T120000'));
    expect(covered(days, ...YEAR)).toEqual(['2026-03-28T11:00Z/2026-03-29T10:00Z']);
    expect(covered(exact, ...YEAR)).toEqual(['2026-03-28T11:00Z/2026-03-29T11:00Z']);
  });

  it('reads a time inside the spring gap with the offset before it (RFC 5545 section 3.3.5)', () => {
    expect(covered(calendar(...event('DTSTART;TZID=Europe/Berlin:20260329T023000', 'DURATION:PT1H')), ...YEAR)).toEqual(['2026-03-29T01:30Z/2026-03-29T02:30Z']);
  });

  it('still counts an event that began long before the span', () => {
    const text = calendar(...event('DTSTART:20251201T000000Z', 'DURATION:P60D', 'RRULE:FREQ=YEARLY'));
    expect(covered(text, '2026-01-10T00:00Z', '2026-01-11T00:00Z')).toEqual(['2026-01-10T00:00Z/2026-01-11T00:00Z']);
  });

  it('leaves out what is cancelled, free or without length, and says so', () => {
    const read = readCalendar(calendar(
      ...event('DTSTART:20260101T000000Z', 'DURATION:PT1H', 'STATUS:CANCELLED'),
      ...event('DTSTART:20260101T000000Z', 'DURATION:PT1H', 'TRANSP:TRANSPARENT'),
      ...event('DTSTART:20260101T000000Z')));
    expect(read.blackouts).toEqual([]);
    expect(read.ignored.map((one) => one.line)).toEqual([3, 9, 15]);
  });

  it('unfolds lines, skips foreign components and makes text safe to store', () => {
    const text = calendar('BEGIN:VTODO', 'DTSTART:nonsense', 'END:VTODO',
      ...event('SUMMARY:Year\u0000 end', '  freeze', 'DTSTART:20260101T', ' 000000Z', 'DURATION:PT1H', 'BEGIN:VALARM', 'TRIGGER:-PT5M', 'END:VALARM'));
    expect(readCalendar(text).blackouts[0]).toMatchObject({ summary: 'Year  end freeze', start: '2026-01-01T00:00:00', timeZone: 'UTC', line: 6 });
  });
});

describe('a time zone that only the file knows', () => {
  const zone = (tzid: string, ...more: string[]): string[] => [
    'BEGIN:VTIMEZONE', `TZID:${tzid}`, ...more,
    'BEGIN:STANDARD', 'DTSTART:16010101T030000', 'TZOFFSETFROM:+0200', 'TZOFFSETTO:+0100', 'RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10', 'END:STANDARD',
    'BEGIN:DAYLIGHT', 'DTSTART:16010101T020000', 'TZOFFSETFROM:+0100', 'TZOFFSETTO:+0200', 'RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3', 'END:DAYLIGHT',
    'END:VTIMEZONE',
  ];
  const daily = (tzid: string): string[] => event(`DTSTART;TZID=${tzid}:20260328T023000`, 'DURATION:PT1H', 'RRULE:FREQ=DAILY;COUNT=3');

  it('is read from its VTIMEZONE as from IANA', () => {
    const own = covered(calendar(...zone('Custom Time'), ...daily('Custom Time')), ...YEAR);
    expect(own).toEqual(covered(calendar(...daily('Europe/Berlin')), ...YEAR));
    const autumn = event('DTSTART;TZID=Custom Time:20261025T023000', 'DURATION:PT1H');
    expect(covered(calendar(...zone('Custom Time'), ...autumn), ...YEAR)).toEqual(['2026-10-25T00:30Z/2026-10-25T01:30Z']);
  });

  it('is read by its X-LIC-LOCATION if it has one', () => {
    const read = readCalendar(calendar(...zone('Custom Time', 'X-LIC-LOCATION:America/New_York'), ...daily('Custom Time')));
    expect([read.blackouts[0]?.timeZone, read.zones]).toEqual(['America/New_York', []]);
  });

  it('is stored once, with its changes, only if an event uses it', () => {
    expect(readCalendar(calendar(...zone('Custom Time'))).zones).toEqual([]);
    const used = readCalendar(calendar(...zone('Custom Time'), ...daily('Custom Time'), ...daily('Custom Time')));
    expect(used.zones.map((one) => one.tzid)).toEqual(['Custom Time']);
    expect(used.zones[0]!.changes.length).toBeLessThan(300);
  });

  it('is refused if it changes without bounds', () => {
    const wild = zone('Custom Time').join('\n').replace('FREQ=YEARLY;BYDAY=-1SU', 'FREQ=HOURLY');
    expect(() => readCalendar(calendar(wild, ...daily('Custom Time')))).toThrow(/FREQ=YEARLY/);
  });
});

describe('a calendar that is refused', () => {
  const lasts = 'DURATION:PT1H';
  const table: [string, string, number, RegExp][] = [
    ['no calendar', 'hello', 1, /NAME:VALUE/],
    ['an empty file', '', 1, /no BEGIN:VCALENDAR/],
    ['a truncated file', calendar(...event('DTSTART:20260101T000000Z', lasts)).slice(0, 75), 5, /ends inside the VEVENT that begins on line 3/],
    ['crossed components', calendar('BEGIN:VEVENT', 'END:VTODO'), 4, /does not fit/],
    ['deep nesting', 'BEGIN:VCALENDAR\n'.repeat(5000), 9, /deep/],
    ['an event without DTSTART', calendar(...event(lasts)), 3, /no DTSTART/],
    ['two DTSTART', calendar(...event('DTSTART:20260101T000000Z', 'DTSTART:20260101T000000Z')), 6, /second DTSTART/],
    ['an unknown TZID', calendar(...event('DTSTART;TZID=Mars/Olympus:20260101T000000', lasts)), 5, /Mars\/Olympus/],
    ['a TZID that is a prototype', calendar(...event('DTSTART;TZID=__proto__:20260101T000000', lasts)), 5, /neither an IANA name/],
    ['a floating time', calendar(...event('DTSTART:20260101T000000', lasts)), 5, /without a time zone/],
    ['a negative duration', calendar(...event('DTSTART:20260101T000000Z', 'DURATION:-PT1H')), 6, /negative/],
    ['an unreadable duration', calendar(...event('DTSTART:20260101T000000Z', 'DURATION:P')), 6, /cannot be read/],
    ['an end before the start', calendar(...event('DTSTART:20260101T000000Z', 'DTEND:20251231T000000Z')), 6, /before the start/],
    ['an end of another type', calendar(...event('DTSTART:20260101T000000Z', 'DTEND;VALUE=DATE:20260102')), 6, /must both be/],
    ['an endless event', calendar(...event('DTSTART:20260101T000000Z', 'DURATION:P400D')), 6, /366 days/],
    ['a day that does not exist', calendar(...event('DTSTART:20260230T000000Z', lasts)), 5, /no date or time/],
    ['FREQ=SECONDLY', calendar(...event('DTSTART:20260101T000000Z', lasts, 'RRULE:FREQ=SECONDLY')), 7, /part 1 \("FREQ=SECONDLY"\)/],
    ['an unreadable rule', calendar(...event('DTSTART:20260101T000000Z', lasts, 'RRULE:FREQ=DAILY;BYMONTHDAY=45')), 7, /part 2/],
    ['EXRULE', calendar(...event('DTSTART:20260101T000000Z', lasts, 'EXRULE:FREQ=DAILY')), 7, /EXRULE/],
    ['THISANDFUTURE', calendar(...event('RECURRENCE-ID;RANGE=THISANDFUTURE:20260101T000000Z', 'DTSTART:20260101T000000Z', lasts)), 5, /THISANDFUTURE/],
    ['a damaged line', calendar(...event('DTSTART;TZID="Europe/Berlin:20260101T000000', lasts)), 5, /cannot be read as DTSTART/],
    ['too many bytes', calendar(`X-PAD:${'ä'.repeat(600_000)}`), 1, /1 MiB/],
    ['too many events', calendar(...Array.from({ length: 5_001 }, () => 'BEGIN:VEVENT\r\nDTSTART:20260101T000000Z\r\nEND:VEVENT')), 15_003, /5000 events/],
    ['too many exceptions', calendar(...event('DTSTART:20260101T000000Z', lasts, `EXDATE:${'20260101T000000Z,'.repeat(10_001).slice(0, -1)}`)), 7, /10000/],
    ['too many rules', calendar(...Array.from({ length: 501 }, () => event('DTSTART:20260101T000000Z', lasts, 'RRULE:FREQ=DAILY').join('\r\n'))), 3_007, /500 recurring/],
  ];
  for (const [name, text, line, says] of table) {
    it(`names the place: ${name}`, () => {
      let thrown: unknown;
      try { readCalendar(text, name === 'a floating time' ? {} : { floatingTimeZone: 'UTC' }); } catch (error) { thrown = error; }
      expect(thrown).toBeInstanceOf(CalendarError);
      expect((thrown as CalendarError).says).toMatch(says);
      expect((thrown as CalendarError).line).toBe(line);
    });
  }

  it('never throws anything but CalendarError, for one changed character or one removed piece', () => {
    const good = calendar(...event('SUMMARY:freeze', 'DTSTART;TZID=Europe/Berlin:20260105T220000', 'DTEND;TZID=Europe/Berlin:20260106T020000',
      'RRULE:FREQ=MONTHLY;BYDAY=-1SU;UNTIL=20270101T000000Z', 'EXDATE;TZID=Europe/Berlin:20260125T220000', 'RDATE;VALUE=PERIOD:20260401T100000Z/PT2H'));
    const variants = [...good].flatMap((_, index) => [
      ...['"', ';', '\n', '9', '\u0000', '\uD800'].map((one) => good.slice(0, index) + one + good.slice(index + 1)),
      good.slice(0, index), good.slice(0, index) + good.slice(index + 7),
    ]);
    for (const text of variants) {
      try {
        calendarIntervals(readCalendar(text, { floatingTimeZone: 'UTC' }), at('2026-01-01T00:00Z'), at('2026-01-01T00:00Z') + 60 * DAY);
      } catch (error) {
        expect(error).toBeInstanceOf(CalendarError);
      }
    }
  }, 60_000);

  it('counts a COUNT once, on import, in bounded time', () => {
    const counted = (count: number): string => calendar(...Array.from({ length: count }, () =>
      event('DTSTART:19000101T000000Z', 'DURATION:PT1H', 'RRULE:FREQ=MONTHLY;BYDAY=1MO;COUNT=3').join('\r\n')));
    expect(readCalendar(counted(1)).blackouts[0]!.rule).toBe('FREQ=MONTHLY;BYDAY=1MO;UNTIL=19000305T000000');
    expect(() => readCalendar(counted(51))).toThrow(/more than 50 events with a COUNT/);
    expect(() => readCalendar(calendar(...event('DTSTART:19000101T000000Z', 'DURATION:PT1H', 'RRULE:FREQ=DAILY;BYMONTHDAY=-31;COUNT=1000'))))
      .toThrow(/line 7: The RRULE takes too long to count/);
  });

  it('bounds the expansion of a calendar full of hourly events', () => {
    const many = Array.from({ length: 100 }, () => event('DTSTART:20000101T000000Z', 'DURATION:PT1M', 'RRULE:FREQ=HOURLY').join('\r\n'));
    expect(() => covered(calendar(...many), ...YEAR)).toThrow(/more than 50000 occurrences/);
  });
});
