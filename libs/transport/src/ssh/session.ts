// A conversation with one gate over one channel: a request, its whole reply, the next. Bounded in time and bytes.
import { randomBytes } from 'node:crypto'
import { decodeReplyLine, encodeRequest, LineCutter } from '@uptide/contracts/gate'
import { decodeValue, type GateReply, type GateRequest } from '@uptide/livepatch'
import type { ClientChannel } from 'ssh2'
import { ChannelError, type ChannelFault, type GateChannel } from '../port.js'
import { quote } from './faults.js'
import type { SshLimits } from './limits.js'

interface Waiting {
  readonly nonce: string
  readonly request: GateRequest
  readonly lines: string[]
  readonly onLine?: (line: string) => void
  bytes: number
  timer: NodeJS.Timeout
  done(reply: GateReply): void
  fail(error: ChannelError): void
}

export const greeting = 'uptide-gate 1'

export class SshSession implements GateChannel {
  private readonly cutter = new LineCutter()
  private waiting: Waiting | null = null
  private greeted: { done(): void; fail(error: ChannelError): void } | null = null
  private ended: ChannelError | null = null
  private bytes = 0
  private heard = false
  private stderr = ''
  private readonly age: NodeJS.Timeout

  constructor(
    private readonly host: string, readonly hostKeySha256: string, private readonly stream: ClientChannel,
    private readonly destroy: () => void, private readonly limits: SshLimits, private readonly signal: AbortSignal,
  ) {
    this.age = setTimeout(() => { this.end('REPLY_TIMEOUT', `The session with ${host} was older than ${limits.connectionMs / 60_000} min.`, true) }, limits.connectionMs)
    this.age.unref()
    signal.addEventListener('abort', this.abort, { once: true })
    stream.on('data', (chunk: Buffer) => { this.take(chunk) })
    // Unread stderr would fill the window and stop stdout as well.
    stream.stderr.on('data', (chunk: Buffer) => {
      this.count(chunk.length)
      if (this.stderr.length < limits.stderrKept) this.stderr += chunk.toString('latin1').slice(0, limits.stderrKept - this.stderr.length)
    })
    stream.on('error', () => { this.end('CONTACT_LOST', `The channel to ${host} broke.`, true) })
    stream.on('exit', (code: number | null) => { this.exit = code })
    stream.on('close', () => { this.closed() })
  }

  private exit: number | null = null
  private readonly abort = (): void => { this.end('CANCELLED', `The session with ${this.host} was cancelled.`, true) }

  /** The connection under the channel has ended. */
  connectionClosed(): void { this.end('CONTACT_LOST', `${this.host} ended the connection.`, true) }

  /** Zero-install: sends the gate's text and waits until it has been read. */
  async install(text: string): Promise<void> {
    await new Promise<void>((done, fail) => {
      if (this.ended) { fail(this.ended); return }
      const timer = setTimeout(() => { this.end('GATE_MISSING', `${this.host} did not start the gate within ${this.limits.greetingMs / 1000} s.${this.said()}`, true) }, this.limits.greetingMs)
      this.greeted = { done: () => { clearTimeout(timer); done() }, fail: (error) => { clearTimeout(timer); fail(error) } }
      this.stream.write(text)
    })
  }

  ask(request: GateRequest, onLine?: (line: string) => void): Promise<GateReply> {
    if (this.ended) return Promise.reject(this.ended)
    if (this.waiting) throw new Error('gate: one request at a time')
    const nonce = randomBytes(8).toString('hex')
    const line = encodeRequest(nonce, request.verb, request.args)
    return new Promise((done, fail) => {
      this.waiting = { nonce, request, lines: [], bytes: 0, done, fail, timer: this.timer(request), ...(onLine ? { onLine } : {}) }
      this.stream.write(line)
      if (request.body) this.stream.write(Buffer.from(request.body.buffer, request.body.byteOffset, request.body.byteLength))
    })
  }

  close(): void { this.end('CANCELLED', `The session with ${this.host} was closed.`, true) }

  private timer(request: GateRequest): NodeJS.Timeout {
    return setTimeout(() => { this.end('REPLY_TIMEOUT', `${this.host} did not answer ${request.verb} within ${request.deadlineMs / 1000} s.`, true) }, request.deadlineMs)
  }

  private take(chunk: Buffer): void {
    if (this.ended || !this.count(chunk.length)) return
    const cut = this.cutter.push(chunk)
    if (!cut.ok) { this.nonsense(cut.why === 'LINE_TOO_LONG' ? 'sent a line that is too long' : 'sent bytes that are no text'); return }
    for (const line of cut.lines) {
      this.line(line)
      if (this.ended) return
    }
  }

  private line(line: string): void {
    if (this.greeted) {
      if (line !== greeting) { this.nonsense(`answered ${JSON.stringify(quote(line))}`); return }
      const { done } = this.greeted
      this.greeted = null
      this.heard = true
      done()
      return
    }
    const { waiting } = this
    if (!waiting) { this.nonsense('spoke without being asked'); return }
    const item = decodeReplyLine(waiting.nonce, line)
    waiting.bytes += line.length + 1
    if (item === null) { this.nonsense(`answered ${waiting.request.verb} with ${JSON.stringify(quote(line))}`); return }
    if (waiting.bytes > this.limits.replyBytes) { this.end('TOO_MUCH_OUTPUT', `${this.host} answered ${waiting.request.verb} with more than ${this.limits.replyBytes} bytes.`, false); return }
    this.heard = true
    if (item.kind === 'data') { waiting.lines.push(item.text); this.stillTalking(waiting); waiting.onLine?.(item.text); return }
    this.waiting = null
    clearTimeout(waiting.timer)
    if (item.kind === 'refused') waiting.done({ ok: false, code: item.code, detail: quote(decodeValue(item.detail) ?? ''), lines: waiting.lines })
    else if (item.count !== waiting.lines.length) { this.waiting = waiting; this.nonsense(`announced ${item.count} lines and sent ${waiting.lines.length}`) } else waiting.done({ ok: true, lines: waiting.lines })
  }

  /** Only a stream of progress may take longer than its deadline's silence; a drip cannot keep another request alive. */
  private stillTalking(waiting: Waiting): void {
    if (waiting.request.verb !== 'watch') return
    clearTimeout(waiting.timer)
    waiting.timer = setTimeout(() => { this.end('REPLY_TIMEOUT', `${this.host} fell silent during watch.`, true) }, this.limits.silenceMs)
  }

  private count(bytes: number): boolean {
    this.bytes += bytes
    if (this.bytes <= this.limits.sessionBytes) return true
    this.end('TOO_MUCH_OUTPUT', `${this.host} sent more than ${this.limits.sessionBytes} bytes in one session.`, false)
    return false
  }

  private nonsense(what: string): void {
    this.end(this.heard ? 'PROTOCOL' : 'GATE_MISSING', `${this.host} ${what}; that is no gate of Uptide.${this.said()}`, false)
  }

  private closed(): void {
    if (this.heard) { this.end('CONTACT_LOST', `The gate on ${this.host} ended in mid-session (exit ${this.exit ?? 'unknown'}).${this.said()}`, true); return }
    this.end('GATE_MISSING', `The gate on ${this.host} did not answer (exit ${this.exit ?? 'unknown'}).${this.said()}`, this.exit === null)
  }

  private said(): string { return this.stderr === '' ? '' : ` It said: ${quote(this.stderr)}` }

  private end(fault: ChannelFault, message: string, retry: boolean): void {
    if (this.ended) return
    const error = new ChannelError(fault, message, retry)
    this.ended = error
    clearTimeout(this.age)
    this.signal.removeEventListener('abort', this.abort)
    this.destroy()
    const { waiting, greeted } = this
    this.waiting = null
    this.greeted = null
    if (waiting) { clearTimeout(waiting.timer); waiting.fail(error) }
    greeted?.fail(error)
  }
}
