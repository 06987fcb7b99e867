// What a conformance vector needs of a host: sessions with its gate, the lab's modules, and hands to make a
// transition wait. A simulated kernel and a machine in the lab offer the same.
import type { GateChannel } from '@uptide/transport'

export type BuildName = 'v1' | 'v2' | 'stall' | 'hold' | 'shadow' | 'bad_symbol' | 'bad_notag' | 'bad_callback' | 'wrong_kernel'

export interface BenchBuild {
  readonly module: string
  readonly bytes: Uint8Array
  readonly sha256: string
  /** The kernel it was built for. */
  readonly kernelRelease: string
  readonly kernelBuildId: string | null
  readonly srcversion: string | null
  readonly moduleBuildId: string | null
  readonly objects: readonly { readonly name: string; readonly functions: readonly string[] }[]
}

export type BenchFeature =
  | 'replace'      // struct klp_patch knows `replace`
  | 'any-order'    // any enabled patch may be disabled
  | 'last-first'   // only the last one may
  | 'auto-signal'  // the kernel signals remaining tasks by itself
  | 'loads-unsigned' // neither signature enforcement nor lockdown
  | 'sig-enforce'
  | 'lockdown'
  | 'reboots'      // the bench can reset its host

export interface BenchBlocker {
  /** Ends the wait; the task goes on or ends. */
  release(): Promise<void>
}

export interface Bench {
  readonly name: string
  readonly features: ReadonlySet<BenchFeature>
  readonly hostId: string
  readonly kernelRelease: string
  readonly kernelBuildId: string | null
  /** A new session with the host's gate. */
  open(): Promise<GateChannel>
  build(name: BuildName): BenchBuild
  /**
   * A task that sleeps where a transition cannot pass it.
   * `target`: in lab_target's lab_wait(), for enabling. `hold`: in the new function of the build `hold`, for disabling.
   * `lasting`: no signal helps. `interruptible`: the kernel's own does.
   */
  block(where: 'target' | 'hold', kind: 'lasting' | 'interruptible'): Promise<BenchBlocker>
  /** Loads or unloads lab_target, the module that livepatches are tried on. */
  target(loaded: boolean): Promise<void>
  pause(ms: number): Promise<void>
  /** Resets the host and waits for its gate. Only with the feature `reboots`. */
  reboot(): Promise<void>
  /** Greater than every fencing token the host has seen. */
  nextToken(): bigint
}
