// The engine that moves threads to the new code: tries at once, then every second; signals after fifteen tries.
import { retryMs, signalAfterRetries } from './generations.js'
import type { Frame, LoadedPatch, SimKernel, SimThread } from './kernel.js'

export class Transition {
  nextAtMs: number
  startedAtMs: number
  private tries = 0
  private signalled = false

  constructor(kernel: SimKernel, readonly patch: LoadedPatch, public patching: boolean) {
    this.startedAtMs = kernel.clock.nowMs()
    this.nextAtMs = this.startedAtMs
    this.begin(kernel)
  }

  private begin(kernel: SimKernel): void {
    kernel.print(`livepatch: '${this.patch.module.name}': starting ${this.patching ? 'patching' : 'unpatching'} transition`)
    for (const thread of kernel.threads.values()) thread.patchState = this.patching ? 0 : 1
    this.sweep(kernel)
    this.nextAtMs = kernel.clock.nowMs() + kernel.generation.idleTransitionMs
  }

  /** Turns round in the middle: who had moved moves back; always accepted. */
  reverse(kernel: SimKernel): void {
    this.patching = !this.patching
    this.patch.enabled = this.patching
    this.tries = 0
    this.signalled = false
    kernel.print(`livepatch: '${this.patch.module.name}': starting ${this.patching ? 'patching' : 'unpatching'} transition`)
    this.sweep(kernel)
    this.nextAtMs = kernel.clock.nowMs() + retryMs
  }

  /** One try at its due time. */
  step(kernel: SimKernel): void {
    const atMs = this.nextAtMs
    if (this.sweep(kernel) && !kernel.idleStuck) {
      kernel.completed(this.patch, this.patching, atMs)
      return
    }
    this.tries += 1
    this.nextAtMs = atMs + retryMs
    if (this.tries % signalAfterRetries === 0 && kernel.generation.signalsByItself) {
      if (!this.signalled) kernel.print('livepatch: signaling remaining tasks', atMs)
      this.signalled = true
      this.signalRemaining(kernel)
    }
  }

  signalRemaining(kernel: SimKernel): void {
    const holding = [...kernel.threads.values()].filter((thread) => this.holds(kernel, thread))
    for (const thread of holding) kernel.wake(thread.tid)
  }

  /** Moves whoever can be moved; true when nobody is left. */
  private sweep(kernel: SimKernel): boolean {
    const target = this.patching ? 1 : 0
    let left = 0
    for (const thread of kernel.threads.values()) {
      if (thread.patchState === target) continue
      if (this.holds(kernel, thread)) left += 1
      else thread.patchState = target
    }
    return left === 0
  }

  /** It has not moved, and a function that changes under it is on its stack. */
  holds(kernel: SimKernel, thread: SimThread): boolean {
    if (thread.patchState === (this.patching ? 1 : 0)) return false
    return thread.frames.some((frame) => this.changes(kernel, frame))
  }

  private changes(kernel: SimKernel, frame: Frame): boolean {
    const { module, nops } = this.patch
    const ours = module.objects.some((object) => object.name === frame.object && object.functions.some((fn) => fn.name === frame.name))
    const nop = nops.some((each) => each.object === frame.object && each.fn.name === frame.name)
    if (!ours && !nop) return false
    if (!kernel.objectLoaded(frame.object)) return false
    // Unpatching: our own functions are looked for, a nop being the original. Patching: what was newest below us.
    if (!this.patching) return frame.by === (ours ? module.name : null)
    const below = kernel.patches.slice(0, kernel.patches.indexOf(this.patch)).filter((patch) => patch.enabled)
    const newest = below.findLast((patch) => patch.module.objects.some((object) => object.name === frame.object && object.functions.some((fn) => fn.name === frame.name)))
    return frame.by === (newest?.module.name ?? null)
  }
}
