import { describe, expect, it } from 'vitest'
import { hostFactsOf, mechanismOf, readFacts, readPatches } from './facts.js'
import { moduleEdges, moduleMoves, moduleStateOf } from './module-state.js'
import type { ModuleState } from './module-state.js'

const none = { klp: false, patchstate: false, kgraft: false, kpatch: false, stopmachine: false }

describe('the mechanism of a host', () => {
  it.each([
    ['klp-consistency', { klp: true, patchstate: true }],
    ['klp-immediate', { klp: true }],
    ['klp-stopmachine', { klp: true, stopmachine: true }],
    ['kgraft', { kgraft: true }],
    ['kpatch-core', { kpatch: true }],
    ['none', {}],
    // SLES 12 SP4 runs upstream livepatch under kGraft's package names: what exists decides.
    ['klp-consistency', { klp: true, patchstate: true, kpatch: true }],
    ['kgraft', { klp: true, kgraft: true }],
  ] as const)('is %s by what exists', (mechanism, has) => {
    expect(mechanismOf({ ...none, ...has })).toBe(mechanism)
  })
})

describe('the facts of a host', () => {
  const facts = readFacts(['release=6.12.95+deb12-amd64', 'bootid=01234567-89ab-cdef-0123-456789abcdef', 'build=00ff00ff', 'arch=x86_64', 'cpus=4', 'memory=1', 'taint=45056',
    'klp=1', 'patchstate=1', 'kgraft=0', 'kpatch=0', 'stopmachine=0', 'sigenforce=N', 'lockdown=?', 'modulesdisabled=0', 'hostname=lab-1', 'machineid=-', 'os=Debian%20GNU/Linux'])
  const patches = readPatches(['patch name=uptide_v1 enabled=1 transition=1 replace=0 stackorder=- refcnt=1 taint=OEK srcversion=AB build=-', 'object patch=uptide_v1 name=vmlinux patched=1', 'func patch=uptide_v1 object=vmlinux name=version_proc_show,1'])

  it('are read with what is not known left open', () => {
    expect(facts.ok && facts.value).toMatchObject({ lockdown: null, sigEnforce: false, machineId: null, os: 'Debian GNU/Linux', mechanism: 'klp-consistency' })
  })

  it('name features by existence, and none when nothing is loaded that could show them', () => {
    if (!facts.ok || !patches.ok) throw new Error('the fixture is wrong')
    expect(hostFactsOf(facts.value, patches.value).features).toMatchObject({ replaceFile: 'yes', stackOrderFile: 'no', patchedFile: 'yes', hostname: 'lab-1' })
    expect(hostFactsOf(facts.value, patches.value).loaded).toEqual([{ name: 'uptide_v1', state: 'PATCHING', srcversion: 'AB', replace: '0', stackOrder: null }])
    expect(Object.keys(hostFactsOf(facts.value, []).features)).not.toContain('replaceFile')
  })
})

describe('the state of a module', () => {
  const live = (refcnt: number) => ({ refcnt, state: 'live' })
  it.each([
    ['PATCHING', { patch: { enabled: true, transition: true }, module: live(1) }],
    ['ACTIVE', { patch: { enabled: true, transition: false }, module: live(1) }],
    ['UNPATCHING', { patch: { enabled: false, transition: true }, module: live(1) }],
    ['REGISTERED', { patch: { enabled: false, transition: false }, module: live(0) }],
    ['INERT', { patch: null, module: live(0) }],
    ['REPLACED', { patch: null, module: live(0), replaced: true }],
    ['UNKNOWN', { patch: null, module: live(1) }],
    ['UNKNOWN', { patch: null, module: { refcnt: 0, state: 'coming' } }],
    ['ABSENT', { patch: null, module: null }],
    ['STAGED', { patch: null, module: null, staged: true }],
  ] as const)('%s', (state, evidence) => {
    expect(moduleStateOf(evidence)).toBe(state)
  })

  it('has a way out of every state but the last ones, and an edge names no state twice', () => {
    const from = new Set(moduleEdges.map((edge) => edge.from))
    const to = new Set(moduleEdges.flatMap((edge) => edge.to))
    for (const state of to) if (state !== 'PINNED') expect(from).toContain(state)
    for (const edge of moduleEdges) expect(new Set(edge.to).size).toBe(edge.to.length)
  })

  it('re-enables by a write on old kernels only, and a boot ends everything', () => {
    expect(moduleMoves('REGISTERED', 'write-1', 'klp415')).toEqual(['PATCHING', 'ACTIVE'])
    expect(moduleMoves('INERT', 'write-1', 'klp51')).toEqual([])
    for (const state of ['ACTIVE', 'PINNED', 'ABSENT'] as ModuleState[]) expect(moduleMoves(state, 'boot-changed', 'klp614')).toEqual(['LOST'])
  })
})
