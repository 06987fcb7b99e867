// What a simulated gate keeps between sessions, and what its verbs may ask of it.
import type { GateCode, GateVerb } from '@uptide/contracts/gate'
import type { SimKernel } from './kernel.js'
import { sha256Of, simModuleOf } from './modules.js'
import type { SimModule } from './modules.js'

/** One act that may have changed the host, as its own journal has it: what the invariant checker reads. */
export interface SimEffect {
  readonly atMs: number
  readonly bootId: string
  readonly hostId: string
  readonly token: bigint
  readonly attemptId: string
  readonly verb: GateVerb
  readonly args: readonly string[]
  /** `ok`, an errno, or the text of insmod and rmmod. */
  readonly result: string
}

export interface SimGateOptions {
  readonly mode?: 'installed' | 'zero-install'
  readonly hostname?: string
  /** Largest build that is taken, bytes. Default 64 MiB. */
  readonly bytesMax?: number
  /** How staged bytes become a module; default: this package's own format. Null means corrupt. */
  readonly moduleOf?: (bytes: Uint8Array) => SimModule | null
  /** What a load costs besides its transition, milliseconds. Default 40. */
  readonly loadMs?: number
}

const defaultBytesMax = 64 * 1024 * 1024

/** A refusal: thrown by handlers, written by the session. */
export class Refusal extends Error {
  constructor(readonly code: GateCode, readonly detail: string) { super(code) }
}

export interface Lease { readonly hostId: string; readonly token: bigint; readonly attemptId: string }

/** The host side of a gate, apart from its sessions. */
export class GateState {
  floor = -1n
  pinnedHostId: string | null = null
  staged = new Map<string, Uint8Array>()
  readonly effects: SimEffect[] = []
  readonly journal: string[] = []
  /** Held by the session with the lease. */
  lockedBy: GateSession | null = null
  readonly mode: 'installed' | 'zero-install'
  readonly hostname: string
  readonly bytesMax: number
  readonly loadMs: number
  private readonly moduleOf: (bytes: Uint8Array) => SimModule | null

  constructor(readonly kernel: SimKernel, options: SimGateOptions = {}) {
    this.mode = options.mode ?? 'installed'
    this.hostname = options.hostname ?? 'sim'
    this.bytesMax = options.bytesMax ?? defaultBytesMax
    this.loadMs = options.loadMs ?? 40
    this.moduleOf = options.moduleOf ?? simModuleOf
  }

  /** The build with this hash, as its bytes say; throws the gate's refusals. */
  stagedModule(sha256: string): SimModule | null {
    const bytes = this.staged.get(sha256)
    if (!bytes) throw new Refusal('NOT_STAGED', sha256)
    if (sha256Of(bytes) !== sha256) throw new Refusal('HASH_MISMATCH', sha256)
    return this.moduleOf(bytes)
  }
}

/** What a verb sees of the session that asks. */
export interface GateSession {
  readonly gate: GateState
  lease: Lease | null
  greeted: boolean
  readonly closed: boolean
  /** Writes down what was done, after it was done: its intent comes before it in the journal. */
  effect(verb: GateVerb, args: readonly string[], result: string): void
}
