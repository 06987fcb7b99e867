import { describe, expect, it } from 'vitest';
import { clip, merge, subtract } from './intervals.js';
import { HOUR } from './schedule.js';
import { ianaZone, isTimeZone, readLocal, tableZone } from './zone.js';

const local = (text: string): number => readLocal(text)!;

describe('a zone', () => {
  it('ends a gap at its end or shifts by its length', () => {
    const berlin = ianaZone('Europe/Berlin');
    expect(berlin.toInstant(local('2026-03-29T02:30'), 'end')).toBe(Date.UTC(2026, 2, 29, 1));
    expect(berlin.toInstant(local('2026-03-29T02:30'), 'shift')).toBe(Date.UTC(2026, 2, 29, 1, 30));
  });

  it('given as a table answers like the IANA zone it was taken from', () => {
    const berlin = ianaZone('Europe/Berlin');
    const changes = [{ at: Date.UTC(2026, 2, 29, 1), offsetMs: 2 * HOUR }, { at: Date.UTC(2026, 9, 25, 1), offsetMs: HOUR }];
    const table = tableZone({ tzid: 'x', beforeMs: HOUR, changes });
    for (let minute = 0; minute < 365 * 24 * 4; minute += 1) {
      const moment = Date.UTC(2026, 0, 1) + minute * HOUR / 4;
      expect(table.toLocal(moment)).toBe(berlin.toLocal(moment));
      expect(table.toInstant(moment, 'end')).toBe(berlin.toInstant(moment, 'end'));
      expect(table.toInstant(moment, 'shift')).toBe(berlin.toInstant(moment, 'shift'));
    }
  }, 60_000);

  it('has an IANA name', () => {
    expect(['Europe/Berlin', 'UTC', 'Pacific/Apia'].map(isTimeZone)).toEqual([true, true, true]);
    expect(['', '+02:00', 'Mars/Olympus', '__proto__', 'x'.repeat(9999)].map(isTimeZone)).toEqual([false, false, false, false, false]);
  });
});

describe('intervals', () => {
  const of = (...pairs: [number, number][]): { from: number; until: number }[] => pairs.map(([from, until]) => ({ from, until }));

  it('merge when they touch and drop what is empty', () => {
    expect(merge(of([5, 6], [1, 3], [3, 4], [8, 8], [2, 3]))).toEqual(of([1, 4], [5, 6]));
  });

  it('subtract from both ends, the middle and the whole', () => {
    expect(subtract(of([0, 10], [20, 30], [40, 50]), of([-5, 2], [4, 5], [8, 22], [40, 50]))).toEqual(of([2, 4], [5, 8], [22, 30]));
  });

  it('clip to a span', () => {
    expect(clip(of([0, 10], [20, 30], [40, 50]), 5, 20)).toEqual(of([5, 10]));
  });
});
