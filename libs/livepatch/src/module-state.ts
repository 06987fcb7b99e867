// A module's own state on one host in one boot, apart from the target's (mechanisms §8.3), and how it may move.

export type ModuleState =
  | 'ABSENT' | 'STAGED' | 'REGISTERED' | 'PATCHING' | 'ACTIVE' | 'UNPATCHING' | 'INERT' | 'REPLACED' | 'PINNED' | 'UNKNOWN' | 'LOST'

export type ModuleEvent =
  | 'stage' | 'insmod' | 'insmod-error' | 'transition-ended' | 'write-0' | 'write-1' | 'force' | 'replaced' | 'replace-reversed'
  | 'rmmod' | 'refcnt-stays' | 'boot-changed'

/** The kernels of upstream livepatch whose modules move differently. */
export type KlpGeneration = 'klp412' | 'klp415' | 'klp51' | 'klp61' | 'klp611' | 'klp614'
const all: readonly KlpGeneration[] = ['klp412', 'klp415', 'klp51', 'klp61', 'klp611', 'klp614']
const before51 = all.slice(0, 2)
const since51 = all.slice(2)

export interface ModuleEdge {
  readonly from: ModuleState
  readonly event: ModuleEvent
  readonly to: readonly ModuleState[]
  readonly on: readonly KlpGeneration[]
}

/** §8.3 for upstream livepatch. A pair that is absent does not happen; `boot-changed` leads from everywhere to LOST. */
export const moduleEdges: readonly ModuleEdge[] = [
  { from: 'ABSENT', event: 'stage', to: ['STAGED'], on: all },
  // Small transitions end before the first look.
  { from: 'STAGED', event: 'insmod', to: ['PATCHING', 'ACTIVE'], on: all },
  { from: 'STAGED', event: 'insmod-error', to: ['STAGED'], on: all },
  { from: 'PATCHING', event: 'transition-ended', to: ['ACTIVE'], on: all },
  { from: 'PATCHING', event: 'write-0', to: ['UNPATCHING'], on: all },
  { from: 'PATCHING', event: 'force', to: ['PATCHING', 'ACTIVE'], on: all.slice(1) },
  { from: 'UNPATCHING', event: 'write-1', to: ['PATCHING'], on: all },
  { from: 'UNPATCHING', event: 'transition-ended', to: ['INERT'], on: since51 },
  { from: 'UNPATCHING', event: 'transition-ended', to: ['REGISTERED'], on: before51 },
  { from: 'ACTIVE', event: 'write-0', to: ['UNPATCHING'], on: all },
  { from: 'ACTIVE', event: 'replaced', to: ['REPLACED'], on: since51 },
  { from: 'ACTIVE', event: 'replace-reversed', to: ['ACTIVE'], on: since51 },
  { from: 'REGISTERED', event: 'write-1', to: ['PATCHING', 'ACTIVE'], on: before51 },
  { from: 'REGISTERED', event: 'rmmod', to: ['STAGED'], on: before51 },
  { from: 'INERT', event: 'rmmod', to: ['STAGED'], on: since51 },
  { from: 'REPLACED', event: 'rmmod', to: ['STAGED'], on: since51 },
  { from: 'INERT', event: 'refcnt-stays', to: ['PINNED'], on: since51 },
  { from: 'REPLACED', event: 'refcnt-stays', to: ['PINNED'], on: since51 },
]

/** Where a module may be after an event; empty when the event cannot happen to it. */
export function moduleMoves(from: ModuleState, event: ModuleEvent, generation: KlpGeneration): readonly ModuleState[] {
  if (event === 'boot-changed') return ['LOST']
  return moduleEdges.filter((edge) => edge.from === from && edge.event === event && edge.on.includes(generation)).flatMap((edge) => edge.to)
}

export interface ModuleEvidence {
  /** The folder below /sys/kernel/livepatch; null when there is none. */
  readonly patch: { readonly enabled: boolean; readonly transition: boolean | null } | null
  /** What /sys/module says; null when the module is not there. */
  readonly module: { readonly refcnt: number | null; readonly state: string | null } | null
  /** The build's bytes are on the host. */
  readonly staged?: boolean
  /** It was active, and a newer patch that replaces has become active. */
  readonly replaced?: boolean
}

/**
 * The state that a reading shows. INERT with a reference count above 0 is UNKNOWN here: only time tells whether the
 * kernel is about to let go (IN_USE) or never will (PINNED).
 */
export function moduleStateOf({ patch, module, staged, replaced }: ModuleEvidence): ModuleState {
  if (patch) {
    if (patch.transition) return patch.enabled ? 'PATCHING' : 'UNPATCHING'
    return patch.enabled ? 'ACTIVE' : 'REGISTERED'
  }
  if (!module) return staged ? 'STAGED' : 'ABSENT'
  if (module.state !== null && module.state !== 'live') return 'UNKNOWN'
  if (module.refcnt === null || module.refcnt > 0) return 'UNKNOWN'
  return replaced ? 'REPLACED' : 'INERT'
}
