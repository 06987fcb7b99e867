// Modules for simulated kernels: what a kernel would find in the file, as JSON behind a mark, so that they can be
// staged, hashed and damaged like real ones.
import { createHash } from 'node:crypto'

export interface SimFunction { readonly name: string; readonly newName: string }

export interface SimModule {
  readonly name: string
  /** livepatch: marked and enables a patch. untagged: enables one without the mark. plain: any other module. */
  readonly kind: 'livepatch' | 'untagged' | 'plain'
  /** First word of its vermagic. */
  readonly release: string
  readonly srcversion: string
  readonly buildId: string
  readonly objects: readonly { readonly name: string; readonly functions: readonly SimFunction[] }[]
  readonly replace: boolean
  readonly signed: boolean
  /** Names that the kernel does not have. */
  readonly missing: readonly string[]
  /** The errno that its pre-patch callback returns; null: it agrees. */
  readonly callbackErrno: string | null
  /** States (klp_state) it knows, with their versions. */
  readonly states: readonly { readonly id: number; readonly version: number }[]
}

const mark = 'UPTIDE-SIMULATED-MODULE 1\n'

export function bytesOf(module: SimModule): Uint8Array {
  return new TextEncoder().encode(mark + JSON.stringify(module))
}

/** null: no simulated module, which a kernel would call corrupt. */
export function simModuleOf(bytes: Uint8Array): SimModule | null {
  const text = new TextDecoder().decode(bytes)
  if (!text.startsWith(mark)) return null
  try {
    return JSON.parse(text.slice(mark.length)) as SimModule
  } catch {
    return null
  }
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A module with everything as usual but what is given; its identity follows from its name, release and `version`. */
export function simModule(given: Partial<SimModule> & { readonly name: string; readonly release: string; readonly version?: string }): SimModule {
  const { version = '1.0', ...rest } = given
  const identity = createHash('sha256').update(`${given.name} ${given.release} ${version}`).digest('hex')
  return {
    kind: 'livepatch', srcversion: identity.slice(0, 23).toUpperCase(), buildId: identity.slice(0, 40), objects: [], replace: false,
    signed: false, missing: [], callbackErrno: null, states: [], ...rest,
  }
}

const version = { name: 'version_proc_show', newName: 'lab_version_show' }
const execdomains = { name: 'execdomains_proc_show', newName: 'lab_execdomains_show' }
const targetWait = { name: 'lab_wait', newName: 'lab_target_wait' }

/** The names of the lab's modules, the same as deploy/lab builds. */
export const labModuleNames = ['lab_target', 'uptide_v1', 'uptide_v2', 'uptide_stall', 'uptide_hold', 'uptide_shadow', 'bad_symbol', 'bad_notag', 'bad_callback'] as const
export type LabModuleName = (typeof labModuleNames)[number]

/** The lab's modules as a simulated kernel of this release has them: same names, objects, functions and faults. */
export function labModules(release: string): Readonly<Record<LabModuleName, SimModule>> {
  const kernel = (...functions: SimFunction[]) => ({ name: 'vmlinux', functions })
  const target = { name: 'lab_target', functions: [targetWait] }
  const cumulative = [kernel(version, execdomains), target]
  return {
    lab_target: simModule({ name: 'lab_target', release, kind: 'plain' }),
    uptide_v1: simModule({ name: 'uptide_v1', release, objects: cumulative }),
    uptide_v2: simModule({ name: 'uptide_v2', release, objects: cumulative, replace: true }),
    uptide_stall: simModule({ name: 'uptide_stall', release, objects: [target] }),
    uptide_hold: simModule({ name: 'uptide_hold', release, objects: [kernel(execdomains)] }),
    uptide_shadow: simModule({ name: 'uptide_shadow', release, objects: [kernel(version)] }),
    bad_symbol: simModule({ name: 'bad_symbol', release, objects: [kernel({ name: 'uptide_no_such_function', newName: 'lab_new' })], missing: ['uptide_no_such_function'] }),
    bad_notag: simModule({ name: 'bad_notag', release, kind: 'untagged', objects: [kernel(version)] }),
    bad_callback: simModule({ name: 'bad_callback', release, objects: [kernel(version)], callbackErrno: 'ENODEV' }),
  }
}
