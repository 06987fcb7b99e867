// What differs between the generations of upstream livepatch, as data. Sources: mechanisms §0, §1.1-1.4; the words
// were printed by 5.10, 6.1, 6.12 and 7.2 (lab transcripts).
import type { KlpGeneration } from '@uptide/livepatch'

export interface Generation {
  readonly release: string
  /** A finished disable removes the folder; before 5.1 the patch stays registered and can be enabled by a write. */
  readonly folderGoesOnDisable: boolean
  /** Any enabled patch may be disabled; before 5.1 only the last. */
  readonly anyOrder: boolean
  /** struct klp_patch has `replace`. */
  readonly replaces: boolean
  /** The kernel signals remaining tasks by itself after 15 retries. */
  readonly signalsByItself: boolean
  readonly files: { readonly signal: boolean; readonly force: boolean; readonly patched: boolean; readonly replace: boolean; readonly stackOrder: boolean }
  /** A transition of an idle machine, milliseconds. */
  readonly idleTransitionMs: number
  /** How it refuses a module of another kernel. */
  readonly mismatch: (module: string, theirs: string, ours: string) => string
}

const layout = (module: string) => `${module}: disagrees about version of symbol module_layout`
const magic = (module: string, theirs: string, ours: string) =>
  `${module}: version magic '${theirs} SMP preempt mod_unload ' should be '${ours} SMP preempt mod_unload modversions '`

const before51 = { folderGoesOnDisable: false, anyOrder: false, replaces: false, signalsByItself: false, mismatch: layout } as const
const since51 = { folderGoesOnDisable: true, anyOrder: true, replaces: true, signalsByItself: true, mismatch: layout } as const

export const generations: Readonly<Record<KlpGeneration, Generation>> = {
  klp412: { ...before51, release: '4.12.14-95.3-default', idleTransitionMs: 30, files: { signal: false, force: false, patched: false, replace: false, stackOrder: false } },
  klp415: { ...before51, release: '4.15.0-20-generic', idleTransitionMs: 30, files: { signal: true, force: true, patched: false, replace: false, stackOrder: false } },
  klp51: { ...since51, release: '5.10.0-32-amd64', idleTransitionMs: 4, files: { signal: false, force: true, patched: false, replace: false, stackOrder: false } },
  klp61: { ...since51, release: '6.1.0-56-cloud-amd64', idleTransitionMs: 4, files: { signal: false, force: true, patched: true, replace: false, stackOrder: false } },
  klp611: { ...since51, release: '6.12.95+deb12-amd64', idleTransitionMs: 300, files: { signal: false, force: true, patched: true, replace: true, stackOrder: false }, mismatch: magic },
  klp614: { ...since51, release: '7.2.13+deb14-amd64', idleTransitionMs: 5, files: { signal: false, force: true, patched: true, replace: true, stackOrder: true }, mismatch: magic },
}

export const generationNames = Object.keys(generations) as KlpGeneration[]

/** Retries, one a second, after which the kernel signals remaining tasks. */
export const signalAfterRetries = 15
/** Between two of the kernel's own tries. */
export const retryMs = 1000
