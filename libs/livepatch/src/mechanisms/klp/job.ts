// What a klp driver is asked to do, and what it knows while it does it.
import type { CommandAnswer, WatchLine } from '../../answers.js'
import type { GateFacts, Greeting, ModuleReading, PatchEntry } from '../../facts.js'
import type { KlogLine } from '../../klog.js'
import type { Reading, TaskCount, Touched } from '../../outcome.js'
import { moduleStateOf } from '../../module-state.js'

/** One attempt at one host: everything the driver may know. Plain data; the bytes come from the runner's `body` hook. */
export interface KlpJob {
  readonly module: string
  readonly sha256: string
  readonly sizeBytes: number
  readonly kernelRelease: string
  /** Hex; null when the build does not say. */
  readonly kernelBuildId: string | null
  readonly srcversion: string | null
  readonly moduleBuildId: string | null
  readonly objects: readonly { readonly name: string; readonly functions: readonly string[] }[]
  /** False: known to be unsigned, so a host that enforces signatures is not even tried. null: not known. */
  readonly signed?: boolean | null
  /** The host's boot when this target was first tried; null: never. */
  readonly bootIdBefore: string | null
  /** An earlier attempt of this target may have changed the kernel. */
  readonly touched: boolean
  /** `token` is the fencing token in decimal. */
  readonly lease: { readonly hostId: string; readonly token: string; readonly attemptId: string }
  readonly limits: {
    /** A transition older than this is stalled, milliseconds. */
    readonly stallAfterMs: number
  }
  /** What the target is on its way to; tells look and nudge what a module that is gone means. Default `apply`. */
  readonly intent?: 'apply' | 'revert'
  /** Look: judge the host's health too. */
  readonly baking?: boolean
  /** The taint before the load; null or absent: not known. */
  readonly taintBefore?: number | null
}

export interface KlpContext {
  readonly job: KlpJob
  readonly greeting: Greeting | null
  readonly facts: GateFacts | null
  readonly patches: readonly PatchEntry[]
  /** undefined: not asked. null: not loaded. */
  readonly module: ModuleReading | null | undefined
  /** Livepatches that were enabled before our load. */
  readonly before: readonly string[]
  /** Modules still to be looked at: objects that are not patched, then what was replaced. */
  readonly queue: readonly string[]
  readonly load: CommandAnswer | null
  readonly klog: readonly KlogLine[]
  readonly watched: WatchLine | null
  /** Of this attempt. */
  readonly touched: Touched
  readonly already: boolean
  /** Errno of the last write of `enabled`. */
  readonly errno: string | null
  readonly writes: number
  /** Waited for a reference count, milliseconds. */
  readonly waitedMs: number
  /** The next reading comes after a pause. */
  readonly pausing: boolean
  readonly rechecked: boolean
}

export const beginKlp = (job: KlpJob): KlpContext => ({
  job, greeting: null, facts: null, patches: [], module: undefined, before: [], queue: [], load: null, klog: [], watched: null,
  touched: 'no', already: false, errno: null, writes: 0, waitedMs: 0, pausing: false, rechecked: false,
})

/** What a reading shows of our module. OTHER: the name is taken by something else. HELD: disabled, but still referenced, coming or going. */
export type Shown = 'ABSENT' | 'REGISTERED' | 'PATCHING' | 'ACTIVE' | 'UNPATCHING' | 'INERT' | 'HELD' | 'OTHER'

export const ownPatch = (context: KlpContext): PatchEntry | undefined => context.patches.find((patch) => patch.name === context.job.module)

/** Another livepatch that is in transition, or undefined: the kernel has at most one. */
export const busyWith = (context: KlpContext): PatchEntry | undefined =>
  context.patches.find((patch) => patch.transition && patch.name !== context.job.module)

/**
 * Is what is loaded under our name our build? By source version and build id, where both sides know them.
 * When nothing can be compared, it is ours only if we are known to have loaded it in this boot.
 */
export function isOurs(context: KlpContext, loaded: { srcversion: string | null; build: string | null }): boolean {
  const { job } = context
  const pairs = [[job.srcversion, loaded.srcversion], [job.moduleBuildId, loaded.build]] as const
  const known = pairs.filter(([ours, theirs]) => ours !== null && theirs !== null)
  if (known.length > 0) return known.every(([ours, theirs]) => ours!.toLowerCase() === theirs!.toLowerCase())
  return context.load !== null || (job.touched && context.greeting?.bootId === job.bootIdBefore)
}

/** null: the inventory alone does not tell, /sys/module must be asked. */
export function shownByPatches(context: KlpContext): Shown | null {
  const patch = ownPatch(context)
  if (!patch) return null
  if (!isOurs(context, patch)) return 'OTHER'
  return moduleStateOf({ patch, module: null }) as Shown
}

export function shownByModule(context: KlpContext): Shown {
  const { module } = context
  if (!module) return 'ABSENT'
  return moduleStateOf({ patch: null, module }) === 'INERT' ? 'INERT' : 'HELD'
}

/** The reading an outcome carries. */
export function readingOf(context: KlpContext, moduleState?: string): Reading {
  const { facts, greeting } = context
  const patch = ownPatch(context)
  return {
    moduleState: moduleState ?? (patch ? moduleStateOf({ patch, module: null }) : moduleStateOf({ patch: null, module: context.module ?? null })),
    bootId: facts?.bootId ?? greeting?.bootId ?? '',
    kernelRelease: facts?.release ?? greeting?.release ?? '',
    taint: facts?.taint ?? 0,
    loaded: context.patches.map((each) => each.name),
  }
}

export const tasksOf = (context: KlpContext): TaskCount => ({ moved: context.watched?.moved ?? 0, all: context.watched?.all ?? 0 })
