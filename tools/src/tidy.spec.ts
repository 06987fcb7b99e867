// The architecture is a test: the tree, its names, its sizes, its tables.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { routes } from '@uptide/contracts/api'
import { gateVerbs } from '@uptide/contracts/gate'
import { edgeTables, rolloutActs, targetMeaning } from '@uptide/rollout'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).split('\n').filter((file) => file !== '' && existsSync(path.join(root, file)))
const sources = files.filter((file) => /\.(ts|tsx|mjs|sh)$/.test(file))
const text = (file: string): string => readFileSync(path.join(root, file), 'utf8')
const banned = ['common', 'core', 'shared', 'utils', 'helpers', 'base', 'managers', 'misc']
const linesMax = 400

describe('the tree', () => {
  it('has no folder with a name that says nothing', () => {
    expect(files.filter((file) => path.dirname(file).split('/').some((part) => banned.includes(part)))).toEqual([])
  })

  it(`has no source file longer than ${linesMax} lines`, () => {
    expect(sources.filter((file) => text(file).split('\n').length > linesMax + 1)).toEqual([])
  })

  it('has every folder of apps and libs in ARCHITECTURE, and the reverse', () => {
    const page = text('docs/ARCHITECTURE.md')
    const named = (folder: string): string[] => [...page.matchAll(new RegExp(`^  (\\w[\\w-]*)/ `, 'gm'))].map((match) => match[1] ?? '').filter((name) => existsSync(path.join(root, folder, name)))
    for (const folder of ['apps', 'libs']) expect(named(folder).sort()).toEqual(readdirSync(path.join(root, folder)).filter((name) => files.some((file) => file.startsWith(`${folder}/${name}/`))).sort())
  })

  it('leaves no promise behind in the code', () => {
    expect(sources.filter((file) => !file.endsWith('tidy.spec.ts') && /\b(TODO|FIXME|XXX)\b/.test(text(file)))).toEqual([])
  })

  it('names no machine and no registry', () => {
    const lock = /^(package-lock\.json|.*\.ko)$/
    expect(files.filter((file) => !lock.test(file) && !file.endsWith('tidy.spec.ts') && /(^|[\s"'`=(])\/(work|farm)\/|registry\.npmjs|deb\.debian\.org/.test(text(file)))).toEqual([])
  })

  it('has a spec beside everything that decides or parses', () => {
    for (const folder of ['libs/rollout/src', 'libs/livepatch/src', 'libs/livepatch/src/module', 'libs/evidence/src', 'libs/contracts/src/gate', 'libs/transport/src/ssh', 'libs/store/src/commits', 'apps/gate/src', 'apps/server/src/queues']) {
      expect(files.some((file) => file.startsWith(`${folder}/`) && file.endsWith('.spec.ts')), folder).toBe(true)
    }
  })
})

describe('the tables', () => {
  it('reach every state, and lead on from every state that is not an end', () => {
    const starts = { target: ['pending', 'skipped'], rollout: ['draft'], wave: ['pending'], attempt: ['ordered'] }
    const ends = { target: ['reverted'], rollout: ['reverted'], wave: ['passed'], attempt: ['done', 'abandoned'] }
    for (const [entity, table] of Object.entries(edgeTables) as [keyof typeof starts, Record<string, readonly string[]>][]) {
      const reached = new Set<string>(starts[entity])
      for (const state of reached) for (const next of table[state] ?? []) reached.add(next)
      expect([...reached].sort(), entity).toEqual(Object.keys(table).sort())
      for (const [state, next] of Object.entries(table)) if (!ends[entity].includes(state)) expect(next.length, `${entity} ${state}`).toBeGreaterThan(0)
    }
  })

  it('mean something for every target state and name only states of rollouts', () => {
    expect(Object.keys(targetMeaning).sort()).toEqual(Object.keys(edgeTables.target).sort())
    for (const { from, to } of Object.values(rolloutActs)) for (const state of [...from, to]) expect(Object.keys(edgeTables.rollout)).toContain(state)
  })

  it('give every route an access rule, and keep public ones few', () => {
    for (const [name, route] of Object.entries(routes)) expect(['public', 'token'], name).toContain(route.access)
    expect(Object.values(routes).filter((route) => route.access === 'public').length).toBeLessThanOrEqual(3)
    expect(Object.values(routes).filter((route) => route.method === 'GET' && 'body' in route)).toEqual([])
  })

  it('has every verb of the gate in its program, and no other', () => {
    const program = text('apps/gate/uptide-gate')
    const verbs = [...program.matchAll(/^do_([a-z]+)\(\)/gm)].map((match) => match[1] ?? '')
    expect(verbs.sort()).toEqual(Object.keys(gateVerbs).sort())
  })

  it('starts every queue with exactly one handler', () => {
    const roles = ['scheduler', 'worker'].map((role) => text(`apps/server/src/roles/${role}.ts`)).join('\n')
    const started = [...roles.matchAll(/queues\.start\('([a-z]+)'/g)].map((match) => match[1])
    expect(started.sort()).toEqual(['execute', 'reconcile'])
  })
})
