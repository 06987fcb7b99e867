// The gate of a simulated host: version 1 of the line protocol, line for line, over a SimKernel. Disk state (fencing
// floor, pinned host id, staged builds, journal) outlives sessions and reboots; the lock is a session's.
import { gateArgPattern, gateCodes, gateProtocolVersion, gateVerbs } from '@uptide/contracts/gate'
import type { GateVerb } from '@uptide/contracts/gate'
import { encodeValue } from '@uptide/livepatch'
import { GateState, Refusal } from './gate-state.js'
import type { GateSession, Lease } from './gate-state.js'
import { gateHandlers } from './gate-verbs.js'

export class SimGate extends GateState {
  session(): SimSession {
    return new SimSession(this)
  }
}

export type Emit = (line: string) => void

/** What a session does after a request: goes on, or ends with this exit status. */
export interface Answered { readonly exit: number | null }

/** What ssh reports when the other side is gone. */
const diedWithItsHost = 255
const noncePattern = /^[0-9a-f]{16}$/

export class SimSession implements GateSession {
  lease: Lease | null = null
  greeted = false
  closed = false
  /** A session does not outlive the boot it began in. */
  private readonly bootId: string

  constructor(readonly gate: SimGate) {
    this.bootId = gate.kernel.bootId
  }

  /** How many bytes follow a request line; 0 for every verb but `stage`. A length that is not taken ends the session instead. */
  bodyLength(line: string): number {
    const [, verb, , length] = line.split(' ')
    return verb === 'stage' && length !== undefined && /^\d{1,10}$/.test(length) && Number(length) <= this.gate.bytesMax ? Number(length) : 0
  }

  /** One request, answered line by line as the lines come about. */
  async request(line: string, body: Uint8Array | null, emit: Emit): Promise<Answered> {
    const [nonce = '', verb = '', ...args] = line.split(' ')
    if (this.bootId !== this.gate.kernel.bootId) {
      this.close()
      return { exit: diedWithItsHost }
    }
    if (!noncePattern.test(nonce)) return { exit: gateCodes.BAD_REQUEST }
    let count = 0
    const say = (data: string) => {
      // A session that was cut off in the middle says no more, though its request runs on.
      if (this.closed) return
      count += 1
      emit(`${nonce} + ${data}`)
    }
    try {
      this.check(verb, args)
      await gateHandlers[verb as GateVerb](this, args, say, body)
      if (!this.closed) emit(`${nonce} = ${count}`)
      return { exit: null }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.gate.journal.push(`refused ${verb} ${error.code}`)
      if (!this.closed) emit(`${nonce} ! ${error.code} ${encodeValue(error.detail)}`)
      const exit = gateCodes[error.code]
      if (exit !== 0) this.close()
      return { exit: exit === 0 ? null : exit }
    }
  }

  private check(verb: string, args: readonly string[]): void {
    if (!Object.hasOwn(gateVerbs, verb)) throw new Refusal('UNKNOWN_VERB', verb.slice(0, 40))
    const known = gateVerbs[verb as GateVerb]
    if (args.length !== known.args.length || !args.every((arg) => gateArgPattern.test(arg))) throw new Refusal('BAD_REQUEST', verb)
    if (!this.greeted && verb !== 'hello') throw new Refusal('BAD_REQUEST', 'hello comes first')
    const needsLease = known.changes !== 'nothing' && verb !== 'lease'
    if (needsLease && !this.lease) throw new Refusal('NO_LEASE', verb)
    // Another session may have raised the floor since ours was granted.
    if (needsLease && this.lease!.token < this.gate.floor) throw new Refusal('STALE_TOKEN', `the floor is ${this.gate.floor}`)
    if (verb === 'hello' && args[0] !== String(gateProtocolVersion)) throw new Refusal('BAD_VERSION', args[0] ?? '')
  }

  effect(verb: GateVerb, args: readonly string[], result: string): void {
    const { kernel } = this.gate
    this.gate.effects.push({ atMs: kernel.clock.nowMs(), bootId: kernel.bootId, ...this.lease!, verb, args, result })
    this.gate.journal.push(`done ${verb} ${args.join(' ')} ${result}`)
  }

  close(): void {
    this.closed = true
    if (this.gate.lockedBy === this) this.gate.lockedBy = null
  }
}
