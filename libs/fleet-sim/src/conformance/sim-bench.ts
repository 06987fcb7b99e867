// A bench that is a simulated kernel.
import type { KlpGeneration } from '@uptide/livepatch'
import { SimChannel } from '../channel.js'
import type { FaultPlan } from '../channel.js'
import { jumpingClock } from '../clock.js'
import { SimGate } from '../gate.js'
import { SimKernel } from '../kernel.js'
import type { SimKernelOptions } from '../kernel.js'
import { bytesOf, labModules, sha256Of } from '../modules.js'
import type { SimModule } from '../modules.js'
import { seeded } from '../seed.js'
import type { Bench, BenchBuild, BenchFeature, BuildName } from './bench.js'

export interface SimBenchOptions extends Partial<Omit<SimKernelOptions, 'generation' | 'clock' | 'chance'>> {
  readonly seed?: number
  readonly faults?: FaultPlan
}

export interface SimBench extends Bench {
  readonly kernel: SimKernel
  readonly gate: SimGate
}

const moduleNames = { v1: 'uptide_v1', v2: 'uptide_v2', stall: 'uptide_stall', hold: 'uptide_hold', shadow: 'uptide_shadow', bad_symbol: 'bad_symbol', bad_notag: 'bad_notag', bad_callback: 'bad_callback', wrong_kernel: 'uptide_v1' } as const

export function buildOf(module: SimModule, kernelBuildId: string | null): BenchBuild {
  const bytes = bytesOf(module)
  return {
    module: module.name, bytes, sha256: sha256Of(bytes), kernelRelease: module.release, kernelBuildId, srcversion: module.srcversion, moduleBuildId: module.buildId,
    objects: module.objects.map((object) => ({ name: object.name, functions: object.functions.map((fn) => fn.name) })),
  }
}

export function simBench(generation: KlpGeneration, options: SimBenchOptions = {}): SimBench {
  const { seed = 1, faults, ...kernelOptions } = options
  const clock = jumpingClock()
  const kernel = new SimKernel({ generation, clock, chance: seeded(seed), ...kernelOptions })
  const gate = new SimGate(kernel)
  const modules = labModules(kernel.release)
  const other = labModules('9.9.9-other')
  let token = 100n // below it there is room for stale ones
  const { generation: is } = kernel
  const features = new Set<BenchFeature>(['reboots'])
  const have = (feature: BenchFeature, has: boolean) => { if (has) features.add(feature) }
  have('replace', is.replaces)
  have('any-order', is.anyOrder)
  have('last-first', !is.anyOrder)
  have('auto-signal', is.signalsByItself)
  have('sig-enforce', kernel.sigEnforce)
  have('lockdown', kernel.lockdown !== 'none' && !kernel.sigEnforce)
  have('loads-unsigned', !kernel.sigEnforce && kernel.lockdown === 'none')
  return {
    name: generation, features, hostId: 'host-sim', kernelRelease: kernel.release, kernelBuildId: kernel.buildId, kernel, gate,
    open: async () => new SimChannel(gate, faults),
    build: (name: BuildName) => (name === 'wrong_kernel' ? buildOf(other.uptide_v1, null) : buildOf(modules[moduleNames[name]], kernel.buildId)),
    block: async (where, kind) => {
      const frame = where === 'target' ? { object: 'lab_target', name: 'lab_wait' } : { object: 'vmlinux', name: 'execdomains_proc_show' }
      const thread = kernel.spawn({ comm: 'cat', interruptible: kind === 'interruptible', onWake: 'exit', frames: [{ ...frame, by: kernel.versionOf(frame.object, frame.name) }] })
      return { release: async () => kernel.exit(thread.tid) }
    },
    target: async (loaded) => {
      if (loaded === kernel.objectLoaded('lab_target')) return
      const result = loaded ? kernel.insmod(modules.lab_target) : kernel.rmmod('lab_target')
      if (!result.ok) throw new Error(result.text)
    },
    pause: (ms) => clock.sleep(ms),
    reboot: async () => {
      kernel.reboot()
      while (!kernel.isUp()) await clock.sleep(1000)
    },
    nextToken: () => (token += 1n),
  }
}
