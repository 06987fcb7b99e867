import { it } from 'vitest';
import { readRule, ruleLocals } from './rrule.js';
import { DAY } from './schedule.js';
it('cost', () => {
  let seed = 5; const rnd = (n: number) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 2147483648 * n); };
  const pick = <T>(l: T[]) => l[rnd(l.length)]!;
  const worst: [number, string][] = []; let thrown = 0;
  const all = (lo: number, hi: number) => Array.from({ length: hi - lo + 1 }, (_, i) => i + lo).join(',');
  const begun = performance.now();
  for (let i = 0; i < 3000 && performance.now() - begun < 80000; i++) {
    const p = [`FREQ=${pick(['YEARLY', 'MONTHLY', 'WEEKLY', 'DAILY', 'HOURLY'])}`];
    if (rnd(2)) p.push(`INTERVAL=${pick([2, 7, 13, 1000, 9999])}`);
    if (rnd(3) === 0) p.push(`COUNT=1000`);
    if (rnd(3) === 0) p.push(`BYMONTH=${pick(['2', '1,7', all(1, 12)])}`);
    if (rnd(3) === 0) p.push(`BYMONTHDAY=${pick(['30', '31', '29', '-31', all(1, 31)])}`);
    if (rnd(4) === 0) p.push(`BYYEARDAY=${pick(['366', '-366', '100', all(1, 200)])}`);
    if (rnd(4) === 0) p.push(`BYWEEKNO=${pick(['53', '-53', '1', all(1, 53)])}`);
    if (rnd(3) === 0) p.push(`BYDAY=${pick(['SA', '5MO', '-5SU', '53FR', 'MO,TU,WE,TH,FR,SA,SU'])}`);
    if (rnd(3) === 0) p.push(`BYHOUR=${pick(['3', all(0, 23)])}`);
    if (rnd(3) === 0) p.push(`BYMINUTE=${pick(['3', all(0, 59)])}`);
    if (rnd(4) === 0) p.push(`BYSETPOS=${pick(['1', '-1', '366', '-366', all(1, 200)])}`);
    const r = readRule(p.join(';')); if (typeof r === 'string') continue;
    const start = pick([Date.UTC(1600, 0, 1), Date.UTC(1970, 0, 1, 5), Date.UTC(2024, 1, 29, 1, 7)]);
    for (const [a, b] of [[Date.UTC(2026, 0, 1), 8 * DAY], [Date.UTC(2026, 0, 1), 400 * DAY], [Date.UTC(2026, 0, 1), 4000 * DAY]] as const) {
      const t = performance.now(); let n = ''; try { n = String(ruleLocals(r, start, a, a + b).length); } catch (e) { thrown++; n = (e as Error).message.slice(-60); }
      worst.push([performance.now() - t, `${b / DAY}d ${new Date(start).getUTCFullYear()} ${n} ${r.text.slice(0, 150)}`]);
    }
  }
  worst.sort((x, y) => y[0] - x[0]);
  for (const k of ['8d', '400d', '4000d']) { const l = worst.filter((w) => w[1].startsWith(k + ' ')); console.log(k, l.length, thrown, l[Math.floor(l.length/2)]![0]); for (const w of l.slice(0, 6)) console.log(w[0].toFixed(0), w[1]); }
}, 120000);
