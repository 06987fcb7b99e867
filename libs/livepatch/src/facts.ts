// What a host is: its kernel, how it can be live-patched, what it has loaded. From the replies to `facts` and `patches`.
import {
  allFields, countOf, countOrNull, fault, flagOrNull, mergedFields, modulePattern, reading, secondsOf, textOf, textOrNull, wordOf,
} from './reply.js'
import type { Fields, Read } from './reply.js'
import { moduleStateOf } from './module-state.js'

/** How a host's kernel is live-patched; `none`: not at all. Sources: mechanisms §1.1. */
export type Mechanism = 'klp-consistency' | 'klp-immediate' | 'klp-stopmachine' | 'kgraft' | 'kpatch-core' | 'none'

/** The reply to `facts`. */
export interface GateFacts {
  readonly release: string
  /** Hex build id of the running kernel; null when the host does not say. */
  readonly build: string | null
  readonly bootId: string
  readonly arch: string
  readonly cpus: number | null
  readonly taint: number
  readonly mechanism: Mechanism
  readonly sigEnforce: boolean | null
  readonly lockdown: string | null
  readonly modulesDisabled: boolean
  readonly hostname: string | null
  readonly machineId: string | null
  readonly os: string | null
}

export interface PatchedObject { readonly name: string; readonly patched: boolean | null; readonly functions: readonly string[] }

/** One folder below /sys/kernel/livepatch, with what /sys/module says of it. */
export interface PatchEntry {
  readonly name: string
  readonly enabled: boolean
  /** null on kernels without the consistency model. */
  readonly transition: boolean | null
  /** As the kernel prints it; null when the file does not exist. Treat as text: its meaning may widen. */
  readonly replace: string | null
  readonly stackOrder: string | null
  readonly refcnt: number | null
  readonly taint: string | null
  readonly srcversion: string | null
  readonly build: string | null
  readonly objects: readonly PatchedObject[]
}

/** The reply to `module`. */
export interface ModuleReading {
  readonly name: string
  /** live, coming, going, or what else the kernel says; null on kernels without the file. */
  readonly state: string | null
  readonly refcnt: number | null
  readonly taint: string | null
  readonly srcversion: string | null
  readonly build: string | null
}

/** What the inventory keeps of a host. The store's HostFacts fits it. */
export interface HostFacts {
  readonly kernelRelease: string
  readonly kernelBuildId: string | null
  readonly arch: string
  readonly bootId: string
  readonly mechanism: Mechanism
  /** Only what the host showed, by existence and never by version. */
  readonly features: Readonly<Record<string, string>>
  readonly taint: number
  readonly loaded: readonly { readonly name: string; readonly state: string; readonly srcversion: string | null; readonly replace: string | null; readonly stackOrder: string | null }[]
}

const bootIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const releasePattern = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/
const hexPattern = /^[0-9a-f]{8,128}$/

/** The boot id of a reply: a UUID in lower case. */
export const bootIdOf = (fields: Fields) => wordOf(fields, 'bootid', bootIdPattern)

export interface Greeting { readonly mode: string; readonly bootId: string; readonly release: string; readonly build: string | null; readonly uptimeSeconds: number }

/** The reply to `hello`; anything else than a gate of protocol version 1 is a fault. */
export function readHello(lines: readonly string[]): Read<Greeting> {
  return reading(() => {
    const fields = mergedFields(lines)
    if (textOf(fields, 'gate') !== 'uptide') fault('what answered is not the gate')
    if (textOf(fields, 'version') !== '1') fault(`the gate speaks version ${textOf(fields, 'version')}`)
    return {
      mode: wordOf(fields, 'mode', /^[a-z-]{1,32}$/), bootId: bootIdOf(fields), release: wordOf(fields, 'release', releasePattern),
      build: buildOf(fields), uptimeSeconds: secondsOf(fields, 'uptime'),
    }
  })
}

const buildOf = (fields: Fields) => textOrNull(fields, 'build') === null ? null : wordOf(fields, 'build', hexPattern)

/** By what exists, in the order of mechanisms §1.1; never by version or package name. */
export function mechanismOf(has: { klp: boolean; patchstate: boolean; kgraft: boolean; kpatch: boolean; stopmachine: boolean }): Mechanism {
  if (has.kgraft) return 'kgraft'
  if (has.klp && has.stopmachine && !has.patchstate) return 'klp-stopmachine'
  if (has.klp && has.patchstate) return 'klp-consistency'
  if (has.klp) return 'klp-immediate'
  return has.kpatch ? 'kpatch-core' : 'none'
}

export function readFacts(lines: readonly string[]): Read<GateFacts> {
  return reading(() => {
    const fields = mergedFields(lines)
    const has = (key: string) => flagOrNull(fields, key) ?? false
    const sigEnforce = fields.values.get('sigenforce')
    const lockdown = textOrNull(fields, 'lockdown')
    return {
      release: wordOf(fields, 'release', releasePattern), build: buildOf(fields), bootId: bootIdOf(fields),
      arch: wordOf(fields, 'arch', /^[A-Za-z0-9_]{1,32}$/), cpus: countOrNull(fields, 'cpus'), taint: countOf(fields, 'taint'),
      mechanism: mechanismOf({ klp: has('klp'), patchstate: has('patchstate'), kgraft: has('kgraft'), kpatch: has('kpatch'), stopmachine: has('stopmachine') }),
      sigEnforce: sigEnforce === 'Y' ? true : sigEnforce === 'N' ? false : null,
      lockdown: lockdown === '?' ? null : lockdown, modulesDisabled: has('modulesdisabled'),
      hostname: textOrNull(fields, 'hostname'), machineId: textOrNull(fields, 'machineid'), os: textOrNull(fields, 'os'),
    }
  })
}

export function readPatches(lines: readonly string[]): Read<PatchEntry[]> {
  return reading(() => {
    const patches = new Map<string, PatchEntry & { objects: (PatchedObject & { functions: string[] })[] }>()
    for (const fields of allFields(lines)) {
      if (fields.tag === 'patch') {
        const name = wordOf(fields, 'name', modulePattern)
        if (patches.has(name)) fault(`a patch stands twice in a reply: ${name}`)
        patches.set(name, {
          name, enabled: flagOrNull(fields, 'enabled') ?? fault('a patch has no enabled='), transition: flagOrNull(fields, 'transition'),
          replace: textOrNull(fields, 'replace'), stackOrder: textOrNull(fields, 'stackorder'), ...identityOf(fields), objects: [],
        })
      } else if (fields.tag === 'object') {
        const objects = objectsOf(patches, fields)
        const name = wordOf(fields, 'name', modulePattern)
        if (objects.some((object) => object.name === name)) fault(`an object stands twice in a reply: ${name}`)
        objects.push({ name, patched: flagOrNull(fields, 'patched'), functions: [] })
      } else if (fields.tag === 'func') {
        const name = textOf(fields, 'object')
        const object = objectsOf(patches, fields).find((each) => each.name === name) ?? fault('a function without its object')
        object.functions.push(textOf(fields, 'name'))
      }
      // A word that is not known was added by a newer gate: the protocol only grows.
    }
    return [...patches.values()]
  })
}

function objectsOf<T>(patches: ReadonlyMap<string, { objects: T[] }>, fields: Fields): T[] {
  return (patches.get(textOf(fields, 'patch')) ?? fault('an object or function without its patch')).objects
}

const identityOf = (fields: Fields) => ({
  refcnt: countOrNull(fields, 'refcnt'), taint: textOrNull(fields, 'taint'), srcversion: textOrNull(fields, 'srcversion'), build: textOrNull(fields, 'build'),
})

/** The reply to `module`; the caller has already dealt with NO_MODULE. */
export function readModule(lines: readonly string[], name: string): Read<ModuleReading> {
  return reading(() => {
    const fields = mergedFields(lines)
    if (textOf(fields, 'name') !== name) fault(`asked for the module ${name}, told of another`)
    return { name, state: textOrNull(fields, 'state'), ...identityOf(fields) }
  })
}

/** Facts and inventory as the store keeps them. */
export function hostFactsOf(facts: GateFacts, patches: readonly PatchEntry[]): HostFacts {
  const features: Record<string, string> = {}
  const note = (key: string, value: string | number | null) => { if (value !== null) features[key] = String(value) }
  note('cpus', facts.cpus)
  note('hostname', facts.hostname)
  note('machineId', facts.machineId)
  note('os', facts.os)
  note('sigEnforce', facts.sigEnforce === null ? null : facts.sigEnforce ? 'yes' : 'no')
  note('lockdown', facts.lockdown)
  note('modulesDisabled', facts.modulesDisabled ? 'yes' : 'no')
  // Livepatch files exist per loaded patch: with none loaded nothing can be said, and nothing is.
  if (patches.length > 0) {
    const any = (has: (patch: PatchEntry) => boolean) => (patches.some(has) ? 'yes' : 'no')
    note('transitionFile', any((patch) => patch.transition !== null))
    note('replaceFile', any((patch) => patch.replace !== null))
    note('stackOrderFile', any((patch) => patch.stackOrder !== null))
    note('patchedFile', any((patch) => patch.objects.some((object) => object.patched !== null)))
  }
  return {
    kernelRelease: facts.release, kernelBuildId: facts.build, arch: facts.arch, bootId: facts.bootId, mechanism: facts.mechanism,
    features, taint: facts.taint,
    loaded: patches.map((patch) => ({
      name: patch.name, state: moduleStateOf({ patch, module: null }), srcversion: patch.srcversion, replace: patch.replace, stackOrder: patch.stackOrder,
    })),
  }
}
