// A scenario is a text that a person writes: a fleet, what is wrong with it, a strategy, and what must come of it.
import { checkStrategy, defaultStrategy, type RolloutAct, type Strategy } from '@uptide/rollout'
import { type Temper, tempers } from '../world/host-model.js'
import { type Faults, noFaults } from '../world/world.js'

export type Act = RolloutAct | 'release'

/** `expect harmed KERNEL <= n`: hosts of the kernel that a load reached and that came to harm or refused it. */
export interface Expectation {
  readonly line: number
  readonly what: 'state' | 'harmed' | 'stopped' | 'halted' | 'succeeded' | 'started' | 'pending'
  /** A kernel, or null: the whole fleet. */
  readonly kernel: string | null
  readonly operator: '=' | '<=' | '>='
  readonly value: string
}

export interface Scenario {
  readonly title: string
  readonly hosts: number
  readonly kernels: readonly string[]
  /** Kernels whose build has succeeded in another rollout before. */
  readonly proven: readonly string[]
  readonly bad: ReadonlyMap<string, Temper>
  /** Of the hosts of other kernels, this part has this temper, in this order. */
  readonly some: readonly { readonly rate: number; readonly temper: Temper }[]
  /** This host, by its number from 0, has this temper. */
  readonly named: ReadonlyMap<number, Temper>
  /** Every host gets one of so many values of the label. */
  readonly labels: readonly { readonly label: string; readonly values: number }[]
  readonly faults: Faults
  readonly strategy: Strategy
  readonly acts: readonly { readonly atMs: number; readonly act: Act }[]
  /** What a person does when nothing moves any more, one after the other; then nothing. */
  readonly whenStill: readonly Act[]
  readonly expectations: readonly Expectation[]
}

export interface ScenarioFault { readonly line: number; readonly says: string }
export type ScenarioRead = { readonly ok: true; readonly scenario: Scenario } | { readonly ok: false; readonly faults: readonly ScenarioFault[] }

interface Draft {
  title: string; hosts: number; kernels: string[]; proven: string[]; bad: Map<string, Temper>
  some: { rate: number; temper: Temper }[]; named: Map<number, Temper>; labels: { label: string; values: number }[]; faults: Record<keyof Faults, number>
  strategy: Record<string, unknown>; acts: { atMs: number; act: Act }[]; whenStill: Act[]; expectations: Expectation[]
}

const acts: readonly Act[] = ['start', 'hold', 'resume', 'cancel', 'revert', 'release']
const spans: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
const kebab = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

class Wrong extends Error {}
const wrong = (says: string): never => { throw new Wrong(says) }

function whole(text: string | undefined, least: number, most: number, what: string): number {
  const n = Number(text)
  return text !== undefined && Number.isInteger(n) && n >= least && n <= most ? n : wrong(`${what} is a whole number from ${least} to ${most}, not ${JSON.stringify(text ?? '')}.`)
}
function share(text: string | undefined): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text ?? '')
  const rate = match ? Number(match[1]) / 100 : Number.NaN
  return rate >= 0 && rate <= 1 ? rate : wrong(`a share is written like 2% or 0.5%, not ${JSON.stringify(text ?? '')}.`)
}
const oneOf = <T extends string>(text: string | undefined, known: readonly T[], what: string): T =>
  known.find((one) => one === text) ?? wrong(`there is no ${what} ${JSON.stringify(text ?? '')}; there are ${known.join(', ')}.`)
function span(text: string | undefined): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(text ?? '')
  return match ? Number(match[1]) * (spans[match[2] ?? ''] ?? 0) : wrong(`a time is written like 90s or 5m, not ${JSON.stringify(text ?? '')}.`)
}

/** A value of the strategy as JSON; a bare word is itself. */
function valueOf(text: string): unknown {
  try { return JSON.parse(text) as unknown } catch { return /^[a-z-]+$/.test(text) ? text : wrong(`${JSON.stringify(text)} is no JSON and no word.`) }
}

function setStrategy(draft: Draft, path: string | undefined, text: string): void {
  const [first, second, ...more] = (path ?? '').split('.')
  if (!first || more.length > 0) wrong('a strategy line names a field, like errorsMax or stall.giveUpMs.')
  const known = [...Object.keys(defaultStrategy), 'countInFlight', 'limits', 'stoppedBuildsMax', 'groups', 'canaryLabels', 'priority', 'weight']
  oneOf(first, known, 'field of a strategy')
  const value = valueOf(text)
  if (second === undefined) draft.strategy[first ?? ''] = value
  else draft.strategy[first ?? ''] = { ...(draft.strategy[first ?? ''] as object), [second]: value }
}

const targetsOfExpectation = ['state', 'harmed', 'stopped', 'halted', 'succeeded', 'started', 'pending'] as const

/** keyword -> what it does with the words behind it. */
const keywords: Readonly<Record<string, (draft: Draft, words: readonly string[], rest: string, line: number) => void>> = {
  title: (draft, _words, rest) => { draft.title = rest },
  hosts: (draft, [n]) => { draft.hosts = whole(n, 1, 100_000, 'the number of hosts') },
  kernels: (draft, words) => { draft.kernels = words.length > 0 ? [...words] : wrong('name at least one kernel.') },
  proven: (draft, words) => { draft.proven = [...words] },
  bad: (draft, [kernel, temper]) => { draft.bad.set(kernel ?? wrong('name a kernel.'), oneOf(temper, tempers, 'temper')) },
  some: (draft, [rate, temper]) => { draft.some.push({ rate: share(rate), temper: oneOf(temper, tempers, 'temper') }) },
  host: (draft, [n, temper]) => { draft.named.set(whole(n, 0, 99_999, 'the number of a host'), oneOf(temper, tempers, 'temper')) },
  labels: (draft, [label, n]) => { draft.labels.push({ label: label ?? wrong('name a label.'), values: whole(n, 1, 100_000, 'the number of values') }) },
  fault: (draft, [name, rate]) => {
    const names = Object.keys(noFaults) as (keyof Faults)[]
    const key = names.find((one) => kebab(one) === name) ?? wrong(`there is no fault ${JSON.stringify(name ?? '')}; there are ${names.map(kebab).join(', ')}.`)
    draft.faults[key] = share(rate)
  },
  strategy: (draft, [path], rest) => { setStrategy(draft, path, rest.slice((path ?? '').length).trim()) },
  at: (draft, [when, act]) => { draft.acts.push({ atMs: span(when), act: oneOf(act, acts, 'act') }) },
  'when-still': (draft, words) => { draft.whenStill.push(...words.map((word) => oneOf(word, acts, 'act'))) },
  expect: (draft, words, _rest, line) => {
    const [what, ...more] = words
    const [operator, value] = more.slice(-2)
    const kernel = more.length === 3 ? (more[0] ?? null) : null
    if (more.length < 2 || more.length > 3) wrong('an expectation is written like: expect harmed 6.12.0-9 <= 1.')
    draft.expectations.push({ line, what: oneOf(what, targetsOfExpectation, 'thing to expect'), kernel, operator: oneOf(operator, ['=', '<=', '>='] as const, 'comparison'), value: value ?? '' })
  },
}

function finish(draft: Draft): Scenario {
  const strategy = {
    ...defaultStrategy, ...draft.strategy, stall: { ...defaultStrategy.stall, ...(draft.strategy['stall'] as object) }, retry: { ...defaultStrategy.retry, ...(draft.strategy['retry'] as object) },
  } as Strategy
  const [fault] = checkStrategy(strategy)
  if (fault) wrong(`this strategy cannot be carried out: ${fault.path}: ${fault.says}`)
  for (const kernel of [...draft.proven, ...draft.bad.keys(), ...draft.expectations.flatMap((one) => one.kernel ?? [])]) {
    if (!draft.kernels.includes(kernel)) wrong(`no host has the kernel ${kernel}; there are ${draft.kernels.join(', ')}.`)
  }
  return { ...draft, strategy }
}

/** Reads a scenario. @returns every line that cannot be read, with what may stand there. */
export function readScenario(text: string): ScenarioRead {
  const draft: Draft = { title: '', hosts: 200, kernels: ['6.12.0-1'], proven: [], bad: new Map(), named: new Map(), some: [], labels: [], faults: { ...noFaults }, strategy: {}, acts: [], whenStill: [], expectations: [] }
  const faults: ScenarioFault[] = []
  const attempt = (line: number, work: () => void): void => {
    try { work() } catch (error) {
      if (!(error instanceof Wrong)) throw error
      faults.push({ line, says: error.message })
    }
  }
  const lines = text.split('\n')
  lines.forEach((raw, index) => {
    const written = raw.replace(/(^|\s)#.*$/, '').trim()
    if (written === '') return
    attempt(index + 1, () => {
      const [keyword = '', ...words] = written.split(/\s+/)
      const read = keywords[keyword] ?? wrong(`${JSON.stringify(keyword)} is no word of a scenario; there are ${Object.keys(keywords).join(', ')}.`)
      read(draft, words, written.slice(keyword.length).trim(), index + 1)
    })
  })
  let scenario: Scenario | null = null
  attempt(lines.length, () => { scenario = finish(draft) })
  return scenario !== null && faults.length === 0 ? { ok: true, scenario } : { ok: false, faults }
}
