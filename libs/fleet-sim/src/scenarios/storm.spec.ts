// Many seeds of the worst scenario, in a file of its own, since it takes minutes. `SEED=n` plays that one alone.
import { expect, it } from 'vitest'
import { scenarioText } from './library.js'
import { playScenario } from './run.js'
import { readScenario } from './scenario.js'

const only = process.env['SEED'] === undefined ? null : Number(process.env['SEED'])
/** 200 hosts each; `npm run sim -- --seeds 10000` is the long form. */
const seedsWanted = 500

it(`a storm breaks no law with ${seedsWanted} seeds and 200 hosts, whatever happens in it`, { timeout: 900_000 }, () => {
  const read = readScenario(scenarioText('storm') ?? '')
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  const ends = new Set<string>()
  for (let seed = only ?? 1; seed <= (only ?? seedsWanted); seed++) {
    const played = playScenario(read.scenario, { seed })
    ends.add(played.state)
    expect(played.breaches, `seed ${seed}`).toEqual([])
    expect(played.mostInFlight).toBeLessThanOrEqual(read.scenario.strategy.inFlightMax)
  }
  if (only === null) expect(ends.size).toBeGreaterThan(1)
})
