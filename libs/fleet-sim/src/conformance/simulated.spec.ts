import { describe, expect, it } from 'vitest'
import { generationNames } from '../generations.js'
import { runVector } from './run-vector.js'
import { simBench } from './sim-bench.js'
import { vectors, vectorsFor } from './vectors.js'

describe.each(generationNames)('a simulated kernel of generation %s', (generation) => {
  it.each(vectorsFor(simBench(generation).features).map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
    const seen = await runVector(vector, simBench(generation))
    expect(seen.length).toBeGreaterThan(0)
  })

  it('refuses unsigned builds where signatures are enforced, and where it is locked down', async () => {
    for (const strict of [{ sigEnforce: true }, { lockdown: 'integrity' }] as const) {
      const chosen = vectorsFor(simBench(generation, strict).features)
      expect(chosen).toHaveLength(1)
      await runVector(chosen[0]!, simBench(generation, strict))
    }
  })
})

it('every vector runs on some generation', () => {
  const run = new Set(generationNames.flatMap((generation) => [{}, { sigEnforce: true }, { lockdown: 'integrity' as const }]
    .flatMap((strict) => vectorsFor(simBench(generation, strict).features).map((vector) => vector.name))))
  expect([...run].sort()).toEqual(vectors.map((vector) => vector.name).sort())
  expect(new Set(vectors.map((vector) => vector.name)).size).toBe(vectors.length)
})
