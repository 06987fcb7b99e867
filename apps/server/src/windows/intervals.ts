import type { Interval } from './schedule.js';

/** Sorted, disjoint and non-empty; intervals that touch become one. */
export function merge(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals.filter((one) => one.from < one.until).toSorted((a, b) => a.from - b.from);
  const merged: Interval[] = [];
  for (const one of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && one.from <= last.until) {
      merged[merged.length - 1] = { from: last.from, until: Math.max(last.until, one.until) };
    } else merged.push({ from: one.from, until: one.until });
  }
  return merged;
}

/** What is left of `base` without `taken`. Both must be merged; one pass over both. */
export function subtract(base: readonly Interval[], taken: readonly Interval[]): Interval[] {
  const left: Interval[] = [];
  let first = 0;
  for (const one of base) {
    let from = one.from;
    // A taken interval that ends before this one begins cannot matter to any later one.
    while (first < taken.length && taken[first]!.until <= from) first += 1;
    for (let at = first; at < taken.length && taken[at]!.from < one.until; at += 1) {
      if (taken[at]!.from > from) left.push({ from, until: taken[at]!.from });
      from = Math.max(from, taken[at]!.until);
    }
    if (from < one.until) left.push({ from, until: one.until });
  }
  return left;
}

/** The parts of `intervals` within [from, until). */
export function clip(intervals: readonly Interval[], from: number, until: number): Interval[] {
  return intervals
    .map((one) => ({ from: Math.max(one.from, from), until: Math.min(one.until, until) }))
    .filter((one) => one.from < one.until);
}
