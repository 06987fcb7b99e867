import { describe, expect, it } from 'vitest'
import { placeOf, WindowBook, windowOf } from './window-of.js'

const noon = Date.UTC(2026, 10, 24, 12)
const hour = 3_600_000
const nightly = { startAt: null, windows: [{ recurrence: { kind: 'cron' as const, expression: '0 22 * * *' }, timeZone: 'UTC', durationMs: 2 * hour, cutoffMs: hour }], blackouts: [] }

describe('what a schedule comes to', () => {
  it('is told in a sentence, with the moment at which it changes', () => {
    expect(windowOf(nightly, noon)).toMatchObject({ open: false, changesAt: noon + 10 * hour })
    expect(windowOf(nightly, noon + 10 * hour)).toMatchObject({ open: true, changesAt: noon + 11 * hour })
    expect(windowOf(nightly, noon).says).toMatch(/\.$/)
  })

  it('is closed when it cannot be worked out, and says why', () => {
    const broken = { ...nightly, windows: [{ ...nightly.windows[0]!, timeZone: 'Mars/Olympus' }] }
    expect(windowOf(broken, noon)).toMatchObject({ open: false, changesAt: null, says: expect.stringMatching(/^Its schedule cannot be worked out: .*\.$/) as string })
  })

  it('is remembered until it changes, also when the clock goes back', () => {
    const book = new WindowBook()
    const first = book.stateOf('r', nightly, noon)
    expect(book.stateOf('r', nightly, noon + hour)).toBe(first)
    expect(book.stateOf('other', nightly, noon + hour)).not.toBe(first)
    expect(book.stateOf('r', nightly, noon + 10 * hour).open).toBe(true)
    expect(book.stateOf('r', nightly, noon).open).toBe(false)
  })

  it('names places as the API does', () => { expect(placeOf('windows[3].recurrence.rule')).toBe('windows.3.recurrence.rule') })
})
