// The planner over a simulated fleet: no server, no host, virtual time.
import { readFileSync, statSync } from 'node:fs'
import { type Played, playScenario, readScenario, type Scenario, scenarioNames, scenarioText } from '@uptide/fleet-sim/scenarios'
import type { Command } from 'commander'
import { action } from '../command.js'
import { Ending } from '../exit.js'
import { table } from '../output/table.js'
import { wholeNumber } from './input.js'

const bytesMax = 1_000_000

function textOf(name: string): string {
  const own = scenarioText(name)
  if (own !== null) return own
  try {
    if (statSync(name).size > bytesMax) throw new Ending('refused', `${name} is larger than ${bytesMax} bytes; no scenario is.`)
    return readFileSync(name, 'utf8')
  } catch (error) {
    if (error instanceof Ending) throw error
    throw new Ending('usage', `There is no scenario ${name}, and no file of that name can be read.`, `There are: ${scenarioNames().join(', ')}.`)
  }
}

function scenarioOf(name: string): Scenario {
  const read = readScenario(textOf(name))
  if (read.ok) return read.scenario
  throw new Ending('refused', `The scenario ${name} cannot be read:\n${read.faults.map((fault) => `  line ${fault.line}: ${fault.says}`).join('\n')}`)
}

const minutes = (ms: number): string => `${Math.round(ms / 6_000) / 10} min`

function summary(played: Played): string {
  const kernels = table(['kernel', 'hosts', 'succeeded', 'harmed', 'build'], played.byKernel.map((one) => [one.kernel, one.hosts, one.succeeded, one.harmed, one.halted ? 'halted' : one.stopped ? 'stopped' : '']))
  const counts = Object.entries(played.counts).map(([state, n]) => `${n} ${state}`).join(', ')
  return [
    `seed ${played.seed}: the rollout is ${played.state} after ${minutes(played.tookMs)} of its time; ${counts}`,
    `${played.plans} plans, ${played.attempts} attempts, at most ${played.mostInFlight} of ${played.hosts} hosts in flight`, '', kernels,
    ...(played.breaches.length > 0 ? ['', ...played.breaches.map((one) => `BREACH ${one}`)] : []),
  ].join('\n')
}

interface RunFlags { seed: number; seeds?: number; hosts?: number; trace?: boolean }

export function simCommands(uptide: Command): void {
  const sim = uptide.command('sim').description('The planner over a simulated fleet: no server and no host is touched')
  sim.command('list').description('The scenarios that come with Uptide')
    .action(action(({ result }) => {
      const all = scenarioNames().map((name) => ({ name, title: scenarioOf(name).title }))
      result(all, table(['name', 'title'], all.map((one) => [one.name, one.title])))
      return Promise.resolve()
    }))
  sim.command('run [scenario]').description('Play a scenario: one of `uptide sim list`, or a file. Exit 1: a law was broken, or an expectation')
    .option('--seed <n>', 'the same seed gives the same trace, byte for byte', wholeNumber, 1)
    .option('--hosts <n>', 'hosts of the fleet', wholeNumber)
    .option('--seeds <n>', 'so many seeds from --seed on, without their traces', wholeNumber)
    .option('--no-trace', 'only what came of it')
    .action(action<[string | undefined, RunFlags]>(async ({ result, print }, name, flags) => {
      const scenario = scenarioOf(name ?? 'storm')
      const hosts = flags.hosts === undefined ? {} : { hosts: flags.hosts }
      if (flags.seeds === undefined) {
        const played = playScenario(scenario, { seed: flags.seed, ...hosts, trace: flags.trace !== false })
        result(played, [...played.trace, '', summary(played)].join('\n').trimStart())
        if (played.breaches.length > 0) throw new Ending('ended', `${played.breaches.length} breaches with seed ${played.seed}: ${played.breaches[0]}`)
        return
      }
      const ends: Record<string, number> = {}
      const broken: { seed: number; breaches: readonly string[] }[] = []
      let harmedMost = 0
      const began = Date.now()
      for (let seed = flags.seed; seed < flags.seed + flags.seeds; seed++) {
        const played = playScenario(scenario, { seed, ...hosts })
        ends[played.state] = (ends[played.state] ?? 0) + 1
        harmedMost = Math.max(harmedMost, ...played.byKernel.map((one) => one.harmed))
        if (played.breaches.length > 0) { broken.push({ seed, breaches: played.breaches }); print(`seed ${seed}: ${played.breaches.join('; ')}`) }
        const done = seed - flags.seed + 1
        if (done % 500 === 0) print(`${done} of ${flags.seeds} seeds, ${broken.length} with breaches, ${Math.round((Date.now() - began) / 1_000)} s`)
        // Ctrl-C is heard between two seeds.
        if (done % 20 === 0) await new Promise((resolve) => { setImmediate(resolve) })
      }
      const says = `${flags.seeds} seeds of ${scenario.title.toLowerCase()} with ${flags.hosts ?? scenario.hosts} hosts: ${broken.length} with breaches. Ends: ${Object.entries(ends).map(([state, n]) => `${n} ${state}`).join(', ')}. Most hosts harmed on one kernel: ${harmedMost}.`
      result({ seeds: flags.seeds, hosts: flags.hosts ?? scenario.hosts, ends, harmedMost, broken: broken.slice(0, 100) }, says)
      if (broken.length > 0) throw new Ending('ended', `Seeds with breaches: ${broken.slice(0, 10).map((one) => one.seed).join(', ')}`, `Look at one with: uptide sim run ${name ?? 'storm'} --seed ${broken[0]?.seed ?? 1}`)
    }))
}
