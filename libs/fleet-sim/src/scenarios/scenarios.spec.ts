// The scenarios, word for word; many seeds of the worst of them stand in storm.spec.ts.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { scenarioNames, scenariosFolder, scenarioText } from './library.js'
import { playScenario } from './run.js'
import { readScenario, type Scenario } from './scenario.js'

function scenarioOf(name: string): Scenario {
  const read = readScenario(scenarioText(name) ?? '')
  if (!read.ok) throw new Error(`${name}: ${JSON.stringify(read.faults)}`)
  return read.scenario
}

/** What `uptide sim run NAME --seed 42 --hosts 40` tells, without its summary. UPDATE=1 writes it anew: look at the difference before it is committed. */
const expectedOf = (name: string): string => `${scenariosFolder}${name}.expected`

describe('a scenario', () => {
  it.each(scenarioNames())('%s tells the same story as ever, byte for byte', (name) => {
    const scenario = scenarioOf(name)
    const story = (): string => {
      const { trace, state, counts, byKernel } = playScenario({ ...scenario, expectations: [] }, { seed: 42, hosts: 40, trace: true })
      return `${[...trace, JSON.stringify({ state, counts, byKernel })].join('\n')}\n`
    }
    const told = story()
    if (process.env['UPDATE'] === '1') writeFileSync(expectedOf(name), told)
    expect(told).toBe(readFileSync(expectedOf(name), 'utf8'))
    expect(story()).toBe(told)
  })

  it.each(scenarioNames().filter((name) => name !== 'storm'))('%s keeps its word with twenty seeds', (name) => {
    for (let seed = 1; seed <= 20; seed++) expect(playScenario(scenarioOf(name), { seed }).breaches, `seed ${seed}`).toEqual([])
  })

  it('with a bad build that nobody has run harms one host of its kernel at most', () => {
    const bad = scenarioOf('bad-kernel')
    for (let seed = 1; seed <= 100; seed++) expect(playScenario(bad, { seed }).byKernel.map((one) => one.harmed)).toEqual([0, 0, 0, 1, 0])
  })
})

describe('the text of a scenario', () => {
  const faultsOf = (text: string): string[] => {
    const read = readScenario(text)
    return read.ok ? [] : read.faults.map((fault) => `${fault.line}: ${fault.says}`)
  }

  it.each([
    ['tempest on', '1: "tempest" is no word of a scenario; there are title'],
    ['hosts many', '1: the number of hosts is a whole number from 1 to 100000, not "many".'],
    ['# a comment\n\nsome 2 stalls', '3: a share is written like 2% or 0.5%, not "2".'],
    ['bad 6.12.0-1 grumpy', '1: there is no temper "grumpy"; there are sound'],
    ['fault moon 1%', '1: there is no fault "moon"; there are worker-dies'],
    ['strategy errorsMx 1', '1: there is no field of a strategy "errorsMx"'],
    ['strategy errorsMax -1', '1: this strategy cannot be carried out: errorsMax: The number of errors allowed'],
    ['strategy stall.giveUpMs {', '1: "{" is no JSON and no word.'],
    ['at soon hold', '1: a time is written like 90s or 5m, not "soon".'],
    ['at 5m panic', '1: there is no act "panic"'],
    ['expect harmed', '1: an expectation is written like: expect harmed 6.12.0-9 <= 1.'],
    ['expect harmed 9.9 <= 1', '1: no host has the kernel 9.9; there are 6.12.0-1.'],
  ])('%j is refused with its line and what may stand there', (text, says) => { expect(faultsOf(text).join('\n')).toContain(says) })

  it('names every line that is wrong, not the first alone', () => { expect(faultsOf('hosts 0\nat x hold\nhosts 5')).toHaveLength(2) })

  it('whose expectation does not come true is a breach with its line', () => {
    const read = readScenario('hosts 5\nexpect succeeded >= 6')
    expect(read.ok && playScenario(read.scenario, { seed: 1 }).breaches).toEqual(['line 2: succeeded >= 6 was expected, it is 5'])
  })
})

it('a law that is broken is seen: a host that a load reaches twice, a token that goes back, a target left behind', async () => {
  const { breachesOf } = await import('./invariants.js')
  const { World } = await import('../world/world.js')
  const { newHost } = await import('../world/host-model.js')
  const { seeded } = await import('../seed.js')
  const { makeWaves } = await import('@uptide/rollout')
  const scenario = scenarioOf('calm')
  const wanted = [{ hostId: 'a', name: 'a', kernel: 'k', buildId: 'b', arch: null, mechanism: null, state: 'reachable', labels: {} }]
  const host = newHost('a', 'sound')
  const world = new World({ waves: makeWaves(wanted, scenario.strategy), strategy: scenario.strategy, hosts: new Map([['a', host]]), faults: scenario.faults, chance: seeded(1), onStandstill: () => null })
  world.run()
  expect(breachesOf(world)).toEqual([])
  host.doubleLoads = 1
  host.tokens.push(9, 3)
  host.module = 'absent'
  world.told -= 1
  const row = world.store.targets.get('t-a')
  expect(breachesOf(world).map((one) => one.slice(0, 2))).toEqual(['I2', 'I3', 'I4', 'I6'])
  if (row) row.state = 'loading'
  expect(breachesOf(world)[0]).toBe('I1: t-a is loading in a rollout that is succeeded')
})
