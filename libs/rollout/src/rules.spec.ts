import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pauseMs, reasonCodes } from './index.js'

describe('pauses before another try', () => {
  it('double up to their longest, less up to a quarter, and are the same for ever', () => {
    fc.assert(fc.property(fc.string(), fc.nat(200), fc.integer({ min: 1, max: 60_000 }), fc.integer({ min: 1, max: 3_600_000 }), (id, count, firstMs, longer) => {
      const maxMs = firstMs + longer
      const whole = Math.min(maxMs, firstMs * 2 ** Math.min(count, 30))
      const ms = pauseMs(id, count, { firstMs, maxMs })
      expect(ms).toBeGreaterThanOrEqual(Math.max(1, Math.floor(whole * 0.75)))
      expect(ms).toBeLessThanOrEqual(Math.max(1, whole))
      expect(pauseMs(id, count, { firstMs, maxMs })).toBe(ms)
    }))
  })

  it('spread a thousand hosts that failed together over their last quarter', () => {
    const pauses = Array.from({ length: 1_000 }, (_, i) => pauseMs(`host-${i}`, 5, { firstMs: 2_000, maxMs: 60_000 }))
    const perTenth = Array.from({ length: 10 }, (_, tenth) => pauses.filter((ms) => ms > 45_000 + tenth * 1_500 && ms <= 45_000 + (tenth + 1) * 1_500).length)
    expect(Math.min(...perTenth)).toBeGreaterThan(50)
  })
})

describe('reason codes', () => {
  const folder = new URL('./plan/', import.meta.url)
  const sources = [...readdirSync(folder).filter((name) => !name.endsWith('.spec.ts')).map((name) => readFileSync(new URL(name, folder), 'utf8')), readFileSync(new URL('./plan.ts', import.meta.url), 'utf8')]
  // `because(… ? 'A' : 'B', …)` and `because('A', …)`; codes that come from an outcome are variables and not met here.
  const written = new Set(sources.flatMap((text) => [...text.matchAll(/because\(([^`]*?),\s/g)].flatMap(([, first]) => [...(first ?? '').matchAll(/'([A-Za-z_-]+)'/g)].map(([, code]) => code ?? ''))))
  const outcomesOwn = new Set(['NOT_ACTIVE'])

  it('that the planner gives all stand in the table, each with its sentence', () => {
    expect(written.size).toBeGreaterThan(40)
    expect([...written].filter((code) => !(code in reasonCodes) && !outcomesOwn.has(code) && code !== 'wait')).toEqual([])
    for (const says of Object.values(reasonCodes)) expect(says).toMatch(/\.$/)
  })

  it('in the table are all given by the planner', () => { expect(Object.keys(reasonCodes).filter((code) => !sources.some((text) => text.includes(`'${code}'`)))).toEqual([]) })
})
