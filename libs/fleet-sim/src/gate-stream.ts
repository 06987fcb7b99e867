// A simulated gate behind a byte stream, as the real one sits behind sshd: requests in, replies out, counted bytes
// behind a `stage` line. Whoever owns a socket or an ssh2 channel feeds it.
import { gateCodes, gateLineBytesMax } from '@uptide/contracts/gate'
import type { SimSession } from './gate.js'

export class GateStream {
  private pending = new Uint8Array(0)
  private awaiting: { readonly line: string; readonly bytes: number } | null = null
  private busy: Promise<void> = Promise.resolve()
  private ended = false

  /**
   * @param write one or more whole lines, each with its newline.
   * @param end the gate has ended with this exit status; nothing follows.
   */
  constructor(private readonly session: SimSession, private readonly write: (text: string) => void, private readonly end: (exit: number) => void) {}

  /** Zero-install: the gate's text has been read; says so, as the real one does. */
  announce(): void {
    this.write('uptide-gate 1\n')
  }

  /** Bytes from the other side, in pieces of any size. Resolves when they are dealt with. */
  push(bytes: Uint8Array): Promise<void> {
    this.busy = this.busy.then(() => this.take(bytes))
    return this.busy
  }

  /** The other side went away. */
  close(): void {
    this.ended = true
    this.session.close()
  }

  private async take(bytes: Uint8Array): Promise<void> {
    const joined = new Uint8Array(this.pending.byteLength + bytes.byteLength)
    joined.set(this.pending)
    joined.set(bytes, this.pending.byteLength)
    this.pending = joined
    while (!this.ended) {
      if (this.awaiting) {
        if (this.pending.byteLength < this.awaiting.bytes) return
        const { line, bytes: length } = this.awaiting
        const body = this.pending.slice(0, length)
        this.pending = this.pending.slice(length)
        this.awaiting = null
        await this.answer(line, body)
        continue
      }
      const newline = this.pending.indexOf(10)
      if (newline < 0 && this.pending.byteLength <= gateLineBytesMax) return
      if (newline < 0 || newline > gateLineBytesMax) {
        this.finish(gateCodes.BAD_REQUEST)
        return
      }
      const line = new TextDecoder('latin1').decode(this.pending.subarray(0, newline))
      this.pending = this.pending.slice(newline + 1)
      const length = this.session.bodyLength(line)
      if (length > 0) this.awaiting = { line, bytes: length }
      else await this.answer(line, null)
    }
  }

  private async answer(line: string, body: Uint8Array | null): Promise<void> {
    const { exit } = await this.session.request(line, body, (reply) => { if (!this.ended) this.write(`${reply}\n`) })
    if (exit !== null) this.finish(exit)
  }

  private finish(exit: number): void {
    if (this.ended) return
    this.close()
    this.end(exit)
  }
}
