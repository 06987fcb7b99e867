// The shape of every mechanism's driver: steps as data, replies interpreted. The driver does no I/O;
// whoever holds a channel asks its questions in order and hands the replies back (DESIGN §5).
import type { HostFacts } from './facts.js'

/** One request to the gate. `args` hold no white space; `body` is sent as counted bytes behind the line. */
export interface GateRequest {
  readonly verb: string
  readonly args: readonly string[]
  readonly body?: Uint8Array
  /** How long the reply may take, milliseconds. */
  readonly deadlineMs: number
}

/** The gate's answer: data lines, then one verdict. All text came from the host: hostile. */
export type GateReply =
  | { readonly ok: true; readonly lines: readonly string[] }
  | { readonly ok: false; readonly code: string; readonly detail: string; readonly lines: readonly string[] }

/** Where a target stands while a step runs; committed before the step's request is sent when it changes. */
export type Phase = 'checking' | 'staging' | 'loading' | 'transitioning' | 'reverting'

/**
 * One named step. Names are stable: fail-points, journals and tests use them.
 * `C` is the driver's own running state, replaced and never mutated.
 */
export interface Step<C, O> {
  readonly name: string
  readonly phase: Phase | null
  /** The request, or null to skip asking (then `read` gets no reply). */
  ask(context: C): GateRequest | null
  read(context: C, reply: GateReply | null): Next<C, O>
  /** For a step whose reply streams (`watch`): called for each line as it arrives; returns progress to show, or null. */
  progress?(context: C, line: string): Progress | null
  /** How long to wait before the request is sent, milliseconds; the runner asks its hooks for the pause. Absent: not at all. */
  pauseMs?(context: C): number
}

export type Next<C, O> =
  | { readonly go: string; readonly context: C }
  | { readonly done: O; readonly context?: C }

export interface Driver<C, O> {
  readonly mechanism: string
  readonly operation: string
  readonly first: string
  readonly steps: Readonly<Record<string, Step<C, O>>>
}

/** A driver that knows how to begin and what to make of a lost channel: what `drive` (run.ts) takes. */
export interface RunnableDriver<J, C, O> extends Driver<C, O> {
  begin(job: J): C
  /** The facts that were read on the way, for the inventory; null when the attempt did not get that far. */
  factsOf(context: C): HostFacts | null
  /** The outcome of a channel that broke with `fault`. `touched`: whether a request that changes the kernel had been sent. */
  broken(context: C, fault: string, detail: string, touched: 'no' | 'yes' | 'unknown'): O
}

/** Tasks moved of all tasks; sampled at most once a second, never stored as an event. */
export interface Progress { readonly moved: number; readonly all: number; readonly transitionAgeMs: number }
