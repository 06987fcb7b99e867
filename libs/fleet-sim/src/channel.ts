// A GateChannel straight into a simulated gate, with the faults that roads have.
import type { GateReply, GateRequest } from '@uptide/livepatch'
import { decodeValue } from '@uptide/livepatch'
import { ChannelError } from '@uptide/transport'
import type { ChannelFault, GateChannel } from '@uptide/transport'
import type { SimGate, SimSession } from './gate.js'

/** What goes wrong with one request. */
export type RoadFault =
  /** The connection ends before the host has read the request. */
  | { readonly kind: 'lose-before' }
  /** The host does what it was asked; nobody hears of it. */
  | { readonly kind: 'lose-after' }
  /** The reply comes this much later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** These data lines come instead of the reply's own. */
  | { readonly kind: 'garbage'; readonly lines: readonly string[] }
  /** The host is reset: before the request, or after it has taken effect. */
  | { readonly kind: 'crash-before' }
  | { readonly kind: 'crash-after' }

/** Called for every request of a channel, counted from 0; null: all is well. */
export type FaultPlan = (index: number, request: GateRequest) => RoadFault | null

const retriable: ReadonlySet<ChannelFault> = new Set(['CONTACT_LOST', 'UNREACHABLE', 'REPLY_TIMEOUT'])
const broken = (fault: ChannelFault, message: string) => new ChannelError(fault, message, retriable.has(fault))

export class SimChannel implements GateChannel {
  readonly hostKeySha256 = 'SHA256:simulated'
  private readonly session: SimSession
  private index = 0
  private lost = false

  constructor(private readonly gate: SimGate, private readonly plan: FaultPlan = () => null) {
    this.session = gate.session()
  }

  async ask(request: GateRequest, onLine?: (line: string) => void): Promise<GateReply> {
    if (this.lost) throw broken('CONTACT_LOST', 'the connection is gone')
    const index = this.index++
    const fault = this.plan(index, request)
    const { clock } = this.gate.kernel
    if (!this.gate.kernel.isUp()) this.lose('the host is down', 'UNREACHABLE')
    if (fault?.kind === 'lose-before') this.lose('the connection ended before the request was read')
    if (fault?.kind === 'crash-before') this.crash()
    const reply = await this.exchange(index, request, fault?.kind === 'lose-after' || fault?.kind === 'crash-after' ? undefined : onLine)
    if (fault?.kind === 'delay') {
      await clock.sleep(fault.ms)
      if (fault.ms > request.deadlineMs) this.lose(`no reply within ${request.deadlineMs} ms`, 'REPLY_TIMEOUT')
    }
    if (fault?.kind === 'lose-after') this.lose('the connection ended before the reply came')
    if (fault?.kind === 'crash-after') this.crash()
    return fault?.kind === 'garbage' ? { ok: true, lines: fault.lines } : reply
  }

  close(): void {
    this.lost = true
    this.session.close()
  }

  private lose(message: string, fault: ChannelFault = 'CONTACT_LOST'): never {
    this.close()
    throw broken(fault, message)
  }

  private crash(): never {
    this.gate.kernel.reboot()
    this.lose('the host went down')
  }

  private async exchange(index: number, request: GateRequest, onLine?: (line: string) => void): Promise<GateReply> {
    const nonce = index.toString(16).padStart(16, '0')
    const lines: string[] = []
    let verdict: GateReply | null = null
    await this.session.request([nonce, request.verb, ...request.args].join(' '), request.body ?? null, (line) => {
      const data = line.slice(nonce.length + 3)
      const kind = line[nonce.length + 1]
      if (kind === '+') {
        lines.push(data)
        onLine?.(data)
      } else if (kind === '=') {
        verdict = { ok: true, lines }
      } else {
        const [code = '', detail = ''] = data.split(' ')
        verdict = { ok: false, code, detail: decodeValue(detail), lines }
      }
    })
    // Cut off while it was answered, by a reboot of the host for one.
    return verdict ?? this.lose('the gate ended in the middle of a reply')
  }
}
