import { describe, expect, it } from 'vitest'
import { type EdgeTable, edgeTables, mayMove, type RolloutAct, rolloutActs, rolloutEdges, rolloutEnded, targetEdges, targetMeaning, type TargetState, whyNot } from './index.js'
import { Chance } from './testing/seed.js'

const tables: readonly { name: string; table: EdgeTable<string>; first: string }[] = [
  { name: 'target', table: edgeTables.target, first: 'pending' },
  { name: 'rollout', table: edgeTables.rollout, first: 'draft' },
  { name: 'wave', table: edgeTables.wave, first: 'pending' },
  { name: 'attempt', table: edgeTables.attempt, first: 'ordered' },
]

/** The long form: UPTIDE_STEPS=1000000 npx vitest run --project unit libs/rollout/src/states.spec.ts */
const steps = Number(process.env['UPTIDE_STEPS'] ?? 100_000)

describe.each(tables)('the $name table', ({ table, first }) => {
  it('names only states it knows, and none twice in a row', () => {
    for (const [from, ways] of Object.entries(table)) {
      expect(new Set(ways).size, from).toBe(ways.length)
      for (const to of ways) expect(Object.keys(table), `${from} → ${to}`).toContain(to)
      expect(ways, from).not.toContain(from)
    }
  })

  it('reaches every state from its first', () => {
    const reached = new Set([first])
    for (const from of reached) for (const to of table[from] ?? []) reached.add(to)
    expect([...reached].sort()).toEqual(Object.keys(table).sort())
  })

  it(`is walked ${steps} random steps: every edge is met, none beside them, and a walk stops only where there is no way on`, () => {
    const chance = new Chance(20_261_124)
    const states = Object.keys(table)
    const met = new Set<string>()
    let at = first
    for (let i = 0; i < steps; i++) {
      const ways = table[at] ?? []
      if (ways.length === 0) { expect(states.some((to) => mayMove(table, at, to)), at).toBe(false); at = first; continue }
      // Half the steps are drawn from all states, as a late or doubled report would ask for them.
      const to = chance.pick(chance.hit(0.5) ? states : ways)
      if (mayMove(table, at, to)) { met.add(`${at} → ${to}`); at = to }
    }
    expect([...met].sort()).toEqual(Object.entries(table).flatMap(([from, ways]) => ways.map((to) => `${from} → ${to}`)).sort())
  })
})

describe('states', () => {
  it('leave a settled target no way on but a revert or another try', () => {
    for (const state of Object.keys(targetMeaning) as TargetState[]) {
      if (!targetMeaning[state].settled) expect(targetEdges[state].length, state).toBeGreaterThan(0)
      else for (const to of targetEdges[state]) expect(['reverting', 'pending'], `${state} → ${to}`).toContain(to)
    }
  })

  it('call a target settled or in flight, never both, and only pending is neither', () => {
    const neither = (Object.keys(targetMeaning) as TargetState[]).filter((state) => !targetMeaning[state].settled && !targetMeaning[state].inFlight)
    const both = (Object.keys(targetMeaning) as TargetState[]).filter((state) => targetMeaning[state].settled && targetMeaning[state].inFlight)
    expect([neither, both]).toEqual([['pending'], []])
  })

  it('let a load be called patched only after the kernel was asked: no edge leads from before a load to success', () => {
    for (const state of Object.keys(targetEdges) as TargetState[]) if (targetEdges[state].includes('succeeded')) expect(state).toBe('baking')
  })

  it('let an ended rollout only be reverted', () => {
    for (const state of rolloutEnded) for (const to of rolloutEdges[state]) expect(to).toBe('reverting')
  })

  it('allow an act exactly where the rollout may move, and say in one sentence why not elsewhere', () => {
    for (const act of Object.keys(rolloutActs) as RolloutAct[]) {
      for (const state of Object.keys(rolloutEdges) as (keyof typeof rolloutEdges)[]) {
        const refusal = whyNot(act, state)
        if (refusal === null) expect(act === 'start' ? rolloutEdges[state].includes('scheduled') || state === 'scheduled' : mayMove(rolloutEdges, state, rolloutActs[act].to), `${act} ${state}`).toBe(true)
        else expect(refusal).toMatch(new RegExp(`^A rollout that is ${state} cannot be asked to ${act}; it must be .+\\.$`))
      }
    }
  })
})
