import { moduleMoves, moduleStateOf } from '@uptide/livepatch'
import type { KlpGeneration, ModuleEvent, ModuleState } from '@uptide/livepatch'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jumpingClock } from './clock.js'
import { generationNames } from './generations.js'
import { SimKernel } from './kernel.js'
import { labModules } from './modules.js'
import { seeded } from './seed.js'

const machine = (generation: KlpGeneration, options: { sigEnforce?: boolean; lockdown?: 'integrity' } = {}) => {
  const clock = jumpingClock()
  const kernel = new SimKernel({ generation, clock, chance: seeded(7), ...options })
  const texts = () => kernel.log.map((line) => line.text)
  const later = (ms: number) => {
    clock.jump(ms)
    kernel.settle()
  }
  return { kernel, modules: labModules(kernel.release), later, texts }
}

describe('the words of a simulated kernel are those of the real ones', () => {
  it('when a patch is loaded and disabled', () => {
    const { kernel, modules, later, texts } = machine('klp61')
    kernel.insmod(modules.uptide_v1)
    later(50)
    kernel.writeEnabled('uptide_v1', '0')
    later(50)
    expect(kernel.rmmod('uptide_v1')).toEqual({ ok: true })
    expect(texts()).toEqual([
      'uptide_v1: loading out-of-tree module taints kernel.',
      'uptide_v1: tainting kernel with TAINT_LIVEPATCH',
      'uptide_v1: module verification failed: signature and/or required key missing - tainting kernel',
      "livepatch: enabling patch 'uptide_v1'",
      "livepatch: 'uptide_v1': starting patching transition",
      "livepatch: 'uptide_v1': patching complete",
      "livepatch: 'uptide_v1': starting unpatching transition",
      "livepatch: 'uptide_v1': unpatching complete",
    ])
    expect(kernel.taint).toBe(45056)
  })

  it('when a callback refuses', () => {
    const { kernel, modules, texts } = machine('klp51')
    expect(kernel.insmod(modules.bad_callback)).toMatchObject({ text: 'insmod: ERROR: could not insert module bad_callback.ko: No such device' })
    expect(texts().slice(-4)).toEqual(["livepatch: enabling patch 'bad_callback'", "livepatch: pre-patch callback failed for object 'vmlinux'", "livepatch: failed to enable patch 'bad_callback'", "livepatch: 'bad_callback': unpatching complete"])
    expect(kernel.modules.size).toBe(0)
  })

  it('when signatures are enforced or the kernel is locked down: nothing is tainted', () => {
    for (const [strict, line] of [[{ sigEnforce: true }, 'Loading of unsigned module is rejected'], [{ lockdown: 'integrity' }, 'Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7']] as const) {
      const { kernel, modules, texts } = machine('klp611', strict)
      expect(kernel.insmod(modules.uptide_v1).ok).toBe(false)
      expect(texts()).toEqual([line])
      expect(kernel.taint).toBe(0)
    }
  })

  it('when an object comes and goes', () => {
    const { kernel, modules, later, texts } = machine('klp61')
    kernel.insmod(modules.uptide_stall)
    later(50)
    kernel.insmod(modules.lab_target)
    kernel.rmmod('lab_target')
    expect(texts().slice(-2)).toEqual(["livepatch: applying patch 'uptide_stall' to loading module 'lab_target'", "livepatch: reverting patch 'uptide_stall' on unloading module 'lab_target'"])
  })
})

describe('a transition', () => {
  const reader = (kernel: SimKernel, interruptible: boolean) =>
    kernel.spawn({ comm: 'cat', interruptible, onWake: 'exit', frames: [{ object: 'lab_target', name: 'lab_wait', by: kernel.versionOf('lab_target', 'lab_wait') }] })

  it('is signalled after 15 tries, once in the log, and then ends when the blocker can be woken', () => {
    const { kernel, modules, later, texts } = machine('klp61')
    kernel.insmod(modules.lab_target)
    reader(kernel, true)
    kernel.insmod(modules.uptide_stall)
    later(14_000)
    expect(texts()).not.toContain('livepatch: signaling remaining tasks')
    later(5_000)
    expect(texts().slice(-2)).toEqual(['livepatch: signaling remaining tasks', "livepatch: 'uptide_stall': patching complete"])
  })

  it('lasts for hours on a blocker that no signal reaches, and says so once', () => {
    const { kernel, modules, later, texts } = machine('klp614')
    kernel.insmod(modules.lab_target)
    const thread = reader(kernel, false)
    kernel.insmod(modules.uptide_stall)
    later(3_600_000)
    expect(kernel.transition?.patching).toBe(true)
    expect(texts().filter((text) => text === 'livepatch: signaling remaining tasks')).toHaveLength(1)
    kernel.exit(thread.tid)
    later(1_000)
    expect(kernel.transition).toBeNull()
  })

  it('is not signalled by kernels before 5.1; 4.15 has a file for it', () => {
    for (const generation of ['klp412', 'klp415'] as const) {
      const { kernel, modules, later } = machine(generation)
      kernel.insmod(modules.lab_target)
      reader(kernel, true)
      kernel.insmod(modules.uptide_stall)
      later(60_000)
      expect(kernel.transition).not.toBeNull()
      expect(kernel.writeSignal('uptide_stall', '1')).toBe(generation === 'klp415' ? null : 'ENOENT')
      later(2_000)
      expect(kernel.transition === null).toBe(generation === 'klp415')
    }
  })

  it('takes writes as the table of the kernel says', () => {
    const { kernel, modules, later } = machine('klp61')
    kernel.insmod(modules.lab_target)
    kernel.insmod(modules.uptide_shadow)
    later(100)
    reader(kernel, false)
    expect(kernel.writeEnabled('uptide_shadow', '1')).toBe('EINVAL')
    expect(kernel.writeEnabled('uptide_shadow', 'junk')).toBe('EINVAL')
    kernel.insmod(modules.uptide_stall)
    expect(kernel.writeEnabled('uptide_shadow', '0')).toBe('EBUSY')
    expect(kernel.writeEnabled('uptide_stall', '1')).toBe('EINVAL')
    expect(kernel.writeEnabled('uptide_stall', '0')).toBeNull()
    expect(kernel.writeEnabled('uptide_stall', '0')).toBe('EINVAL')
    expect(kernel.writeEnabled('uptide_stall', '1')).toBeNull()
    expect(kernel.writeEnabled('uptide_v1', '0')).toBe('ENOENT')
  })
})

type Op = { readonly op: 'insmod' | 'rmmod' | 'off' | 'on' | 'block' | 'free' | 'wait'; readonly module: 'uptide_v1' | 'uptide_v2' | 'uptide_stall' | 'uptide_shadow' }

it('every module moves only as the state table says, and at most one is in transition', () => {
  const ops = fc.array(fc.record<Op>({ op: fc.constantFrom('insmod', 'rmmod', 'off', 'on', 'block', 'free', 'wait'), module: fc.constantFrom('uptide_v1', 'uptide_v2', 'uptide_stall', 'uptide_shadow') }), { maxLength: 60 })
  fc.assert(fc.property(fc.constantFrom(...generationNames), ops, (generation, list) => {
    const { kernel, modules, later } = machine(generation)
    kernel.insmod(modules.lab_target)
    const names = ['uptide_v1', 'uptide_v2', 'uptide_stall', 'uptide_shadow'] as const
    const replaced = new Set<string>()
    const stateOf = (name: string): ModuleState => {
      const patch = kernel.patches.find((each) => each.module.name === name)
      const module = kernel.modules.get(name)
      const evidence = { patch: patch ? { enabled: patch.enabled, transition: kernel.transition?.patch === patch } : null, module: module ? { refcnt: 0, state: 'live' } : null }
      return moduleStateOf({ ...evidence, staged: true, replaced: replaced.has(name) })
    }
    const blockers: number[] = []
    const expectMove = (name: string, before: ModuleState, events: readonly ModuleEvent[]) => {
      const after = stateOf(name)
      if (after === before) return
      // An act may be followed by the end of the transition that it began.
      const reached = new Set<ModuleState>([before])
      for (const event of [...events, 'transition-ended' as const]) for (const state of new Set(reached)) for (const to of moduleMoves(state, event, generation)) reached.add(to)
      expect([...reached], `${name} went from ${before} to ${after}`).toContain(after)
    }
    for (const { op, module } of list) {
      const before = new Map(names.map((name) => [name, stateOf(name)]))
      const busyWith = kernel.transition?.patch.module.name
      if (op === 'insmod') kernel.insmod(modules[module])
      if (op === 'rmmod') kernel.rmmod(module)
      if (op === 'off') kernel.writeEnabled(module, '0')
      if (op === 'on') kernel.writeEnabled(module, '1')
      if (op === 'block') blockers.push(kernel.spawn({ comm: 'cat', interruptible: false, frames: [{ object: 'lab_target', name: 'lab_wait', by: kernel.versionOf('lab_target', 'lab_wait') }] }).tid)
      if (op === 'free') for (const tid of blockers.splice(0)) kernel.exit(tid)
      if (op === 'wait') later(1500)
      const v2Done = busyWith === 'uptide_v2' && kernel.transition === null && stateOf('uptide_v2') === 'ACTIVE'
      for (const name of names) {
        if (v2Done && before.get(name) === 'ACTIVE' && name !== 'uptide_v2') replaced.add(name)
        if (!kernel.modules.has(name)) replaced.delete(name)
        const acts: Record<string, ModuleEvent[]> = { insmod: ['insmod', 'insmod-error'], rmmod: ['rmmod'], off: ['write-0'], on: ['write-1'] }
        expectMove(name, before.get(name)!, name === module ? [...(acts[op] ?? []), 'replaced'] : ['replaced'])
      }
      expect(names.filter((name) => ['PATCHING', 'UNPATCHING'].includes(stateOf(name))).length).toBeLessThanOrEqual(1)
    }
  }), { verbose: 1, numRuns: 400 })
})

it('a reboot leaves nothing of the boot before', () => {
  const { kernel, modules, later } = machine('klp611')
  kernel.insmod(modules.uptide_v1)
  later(1000)
  const { bootId } = kernel
  kernel.reboot()
  expect(kernel.isUp()).toBe(false)
  later(10_000)
  expect([kernel.isUp(), kernel.bootId === bootId, kernel.patches.length, kernel.modules.size, kernel.taint, kernel.log.length]).toEqual([true, false, 0, 0, 0, 0])
})

it('chance and the machines made from it are the same for the same seed', () => {
  const draw = (seed: number) => {
    const chance = seeded(seed)
    return [chance.next(), chance.below(100), chance.uuid(), chance.hex(4), chance.fork('a').next(), chance.happens(0.5), chance.pick([1, 2, 3])]
  }
  expect(draw(42)).toEqual(draw(42))
  expect(draw(42)).not.toEqual(draw(43))
  expect(seeded(1).uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/)
})
