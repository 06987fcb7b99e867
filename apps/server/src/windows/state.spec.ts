import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { preview, stateAt } from './expand.js';
import { DAY, HOUR, MINUTE, type Schedule } from './schedule.js';

const at = (text: string): number => Temporal.Instant.from(text).epochMilliseconds;

/** Saturday nights in Berlin, 22:00 to 02:00, no starts in the last half hour; the turn of the year is frozen. */
const saturdays: Schedule = {
  startAt: at('2026-01-04T00:00Z'),
  windows: [{
    name: 'Saturday night', recurrence: { kind: 'cron', expression: '0 22 * * 6' }, timeZone: 'Europe/Berlin', durationMs: 4 * HOUR, cutoffMs: 30 * MINUTE,
  }],
  blackouts: [{ name: 'year end', intervals: [{ from: at('2026-12-20T00:00Z'), until: at('2027-01-09T22:00Z') }] }],
};

describe('stateAt', () => {
  const table: [string, string, boolean, string | null, RegExp][] = [
    ['before the start', '2026-01-03T22:00Z', false, '2026-01-04T00:00Z', /^Nothing starts before 2026-01-04T00:00:00Z\.$/],
    ['outside', '2026-01-08T00:00Z', false, '2026-01-10T21:00Z', /^Outside every window\.$/],
    ['at the start', '2026-01-10T21:00Z', true, '2026-01-11T00:30Z', /^Inside window "Saturday night"\.$/],
    ['at the cutoff', '2026-01-11T00:30Z', false, '2026-01-17T21:00Z', /past its cutoff: no new host starts in its last 30 minutes/],
    ['at the end', '2026-01-11T01:00Z', false, '2026-01-17T21:00Z', /^Outside every window\.$/],
    ['in a blackout', '2026-12-26T21:30Z', false, '2027-01-09T22:00Z', /^Blackout "year end" forbids starts now\.$/],
    ['after the part a blackout takes', '2027-01-09T22:00Z', true, '2027-01-10T00:30Z', /^Inside/],
  ];
  for (const [name, now, open, changes, because] of table) {
    it(`says what holds ${name}`, () => {
      const state = stateAt(saturdays, at(now));
      expect([state.open, state.changesAt]).toEqual([open, changes === null ? null : at(changes)]);
      expect(state.because).toMatch(because);
    });
  }

  it('never changes without windows, blackouts or a start', () => {
    expect(stateAt({ startAt: null, windows: [], blackouts: [] }, 0)).toMatchObject({ open: true, changesAt: null });
  });

  it('changes at the next blackout when there are no windows', () => {
    const schedule = { startAt: null, windows: [], blackouts: [{ name: 'freeze', intervals: [{ from: 100 * DAY, until: 101 * DAY }] }] };
    expect(stateAt(schedule, 0)).toMatchObject({ open: true, changesAt: 100 * DAY });
    expect(stateAt(schedule, 100 * DAY)).toMatchObject({ open: false, changesAt: 101 * DAY });
  });

  it('stays open across windows that touch', () => {
    const day = (hour: number): Schedule['windows'][number] =>
      ({ recurrence: { kind: 'cron', expression: `0 ${hour} * * *` }, timeZone: 'UTC', durationMs: 12 * HOUR, cutoffMs: 0 });
    expect(stateAt({ startAt: null, windows: [day(0), day(12)], blackouts: [] }, 5 * DAY)).toMatchObject({ open: true, changesAt: null });
  });
});

describe('preview', () => {
  it('shows the next occurrences, the running one first, and what is taken from each', () => {
    const now = at('2026-12-12T22:00Z');
    const shown = preview(saturdays, now, 5);
    expect(shown.map((one) => new Date(one.start).toISOString().slice(0, 10))).toEqual(['2026-12-12', '2026-12-19', '2026-12-26', '2027-01-02', '2027-01-09']);
    expect(shown[1]!.taken).toEqual([{ from: at('2026-12-20T00:00Z'), until: at('2026-12-20T00:30Z'), by: 'year end' }]);
    expect(shown[2]!.open).toEqual([]);
    expect(shown[4]!.open).toEqual([{ from: at('2027-01-09T22:00Z'), until: at('2027-01-10T00:30Z') }]);
  });

  it('shows ten unless told otherwise, of all windows together, and what the start takes', () => {
    const two = { ...saturdays, windows: [...saturdays.windows, { ...saturdays.windows[0]!, name: undefined, timeZone: 'America/New_York' }] };
    const shown = preview(two, at('2026-01-03T00:00Z'));
    expect(shown.map((one) => one.window)).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    expect(shown[0]!.taken).toEqual([{ from: at('2026-01-03T21:00Z'), until: at('2026-01-04T00:00Z'), by: 'start-at' }]);
    expect(shown[1]!.title).toBe('window "0 22 * * 6"');
  });
});
