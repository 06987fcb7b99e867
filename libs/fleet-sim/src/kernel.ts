// A kernel with livepatch in memory: reactive files, threads with stacks, the log's own words, a clock that is given.
// It does what mechanisms §1 says each generation does, and what the lab saw four of them do.
import type { KlpGeneration } from '@uptide/livepatch'
import type { SimClock } from './clock.js'
import { generations } from './generations.js'
import type { Generation } from './generations.js'
import type { SimFunction, SimModule } from './modules.js'
import type { Chance } from './seed.js'
import { Transition } from './transition.js'

/** Where a thread sleeps: `by` is the livepatch whose new function it is in; null: the original. */
export interface Frame { readonly object: string; readonly name: string; readonly by: string | null }

export interface SimThread {
  readonly tid: number
  readonly pid: number
  readonly comm: string
  readonly kernelTask: boolean
  /** Top first. */
  frames: readonly Frame[]
  /** A signal wakes it. */
  readonly interruptible: boolean
  /** What waking does to it: it goes on and sleeps elsewhere, or it ends. */
  readonly onWake: 'stay' | 'exit'
  /** As /proc says: -1 no transition, 0 unpatched, 1 patched. */
  patchState: -1 | 0 | 1
}

export interface LoadedPatch {
  readonly module: SimModule
  enabled: boolean
  /** Functions of replaced patches that this one gives back to the original. */
  nops: readonly { readonly object: string; readonly fn: SimFunction }[]
}

export interface LoadedModule {
  readonly file: SimModule
  refcnt: number
  /** The kernel lets go from a work queue: the count is 0 from this time on. */
  releasedAtMs: number | null
}

export interface LogLine { readonly atSeconds: number; readonly text: string }

export interface SimKernelOptions {
  readonly generation: KlpGeneration
  readonly clock: SimClock
  readonly chance: Chance
  /** Default: the generation's own. */
  readonly release?: string
  readonly sigEnforce?: boolean
  readonly lockdown?: 'none' | 'integrity' | 'confidentiality'
  readonly cpus?: number
  /** Threads that never block anything. Default 40, as on an idle machine of the lab. */
  readonly threads?: number
  /** Uptime when the simulation begins, milliseconds. Default 60 s. */
  readonly uptimeMs?: number
}

export type LoadResult = { readonly ok: true } | { readonly ok: false; readonly text: string }

/** Lines kept of the log, as a ring buffer keeps them. */
const logMax = 2000
/** Between the end of a transition and a reference count of 0. */
const releaseMs = 20
// Bits of the taint, and the words that come with them (the last one once for every load of an unsigned module's first).
const outOfTree = 4096
const unsigned = 8192
const livepatched = 32768

const errnoTexts: Readonly<Record<string, string>> = {
  EBUSY: 'Device or resource busy', EEXIST: 'File exists', EINVAL: 'Invalid parameters', ENODEV: 'No such device', ENOEXEC: 'Invalid module format',
  ENOMEM: 'Cannot allocate memory', EPERM: 'Operation not permitted', EKEYREJECTED: 'Key was rejected by service',
}

export class SimKernel {
  readonly generation: Generation
  readonly name: KlpGeneration
  readonly release: string
  readonly buildId: string
  readonly cpus: number
  readonly sigEnforce: boolean
  readonly lockdown: 'none' | 'integrity' | 'confidentiality'
  readonly clock: SimClock
  bootId: string
  taint = 0
  modules = new Map<string, LoadedModule>()
  /** In the order they were applied. */
  patches: LoadedPatch[] = []
  transition: Transition | null = null
  threads = new Map<number, SimThread>()
  log: LogLine[] = []
  /** An idle CPU that does not pass its loop: every thread moves and the transition does not end. */
  idleStuck = false
  ftraceEnabled = true
  private bootedAtMs: number
  private nextTid = 100
  private readonly chance: Chance

  constructor(private readonly options: SimKernelOptions) {
    this.name = options.generation
    this.generation = generations[options.generation]
    this.release = options.release ?? this.generation.release
    this.chance = options.chance
    this.buildId = seededHex(this.release)
    this.cpus = options.cpus ?? 2
    this.sigEnforce = options.sigEnforce ?? false
    this.lockdown = options.lockdown ?? 'none'
    this.clock = options.clock
    this.bootedAtMs = options.clock.nowMs() - (options.uptimeMs ?? 60_000)
    this.bootId = options.chance.uuid()
    this.spawnUsual()
  }

  uptimeSeconds(): number {
    return (this.clock.nowMs() - this.bootedAtMs) / 1000
  }

  /** False while it boots: nothing answers. */
  isUp(): boolean {
    return this.clock.nowMs() >= this.bootedAtMs
  }

  print(text: string, atMs: number = this.clock.nowMs()): void {
    // Microseconds, as printk stamps; the log is in order whatever a caller's clock says.
    const atSeconds = Math.max(this.log.at(-1)?.atSeconds ?? 0, Math.round((atMs - this.bootedAtMs) * 1000) / 1_000_000)
    this.log.push({ atSeconds, text })
    if (this.log.length > logMax) this.log.splice(0, this.log.length - logMax)
  }

  /** Lets everything happen that is due by now. Every entry point calls it first. */
  settle(): void {
    const now = this.clock.nowMs()
    while (this.transition && this.transition.nextAtMs <= now) this.transition.step(this)
    for (const module of this.modules.values()) {
      if (module.releasedAtMs !== null && module.releasedAtMs <= now) Object.assign(module, { refcnt: 0, releasedAtMs: null })
    }
  }

  /** A thread of the machine; a child would inherit its parent's state, so a new one gets the side that is asked for. */
  spawn(given: Partial<SimThread> & { readonly comm: string }): SimThread {
    this.settle()
    const tid = given.tid ?? this.nextTid++
    // Threads start at the newest code: klp_copy_process gives them the forking task's state, and that is moving.
    const patchState = this.transition ? (this.transition.patching ? 1 : 0) : -1
    const thread: SimThread = {
      tid, pid: given.pid ?? tid, comm: given.comm, kernelTask: given.kernelTask ?? false, frames: given.frames ?? [],
      interruptible: given.interruptible ?? true, onWake: given.onWake ?? 'stay', patchState,
    }
    this.threads.set(tid, thread)
    return thread
  }

  exit(tid: number): void {
    this.settle()
    this.threads.delete(tid)
  }

  /** A signal, or SIGSTOP and SIGCONT: who sleeps interruptibly leaves the function it sleeps in. */
  wake(tid: number): boolean {
    const thread = this.threads.get(tid)
    if (!thread || thread.kernelTask || !thread.interruptible) return false
    if (thread.onWake === 'exit') this.threads.delete(tid)
    else thread.frames = []
    return true
  }

  /** The version of a function that is entered now. */
  versionOf(object: string, name: string): string | null {
    this.settle()
    const has = (patch: LoadedPatch) => patch.enabled && patch.module.objects.some((each) => each.name === object && each.functions.some((fn) => fn.name === name))
    return this.patches.findLast(has)?.module.name ?? null
  }

  objectLoaded(object: string): boolean {
    return object === 'vmlinux' || this.modules.has(object)
  }

  insmod(file: SimModule | null): LoadResult {
    this.settle()
    if (!file) return this.refuse(null, 'ENOEXEC', 'Invalid ELF section header overflow')
    const { name } = file
    if (!file.signed && this.sigEnforce) return this.refuse(name, 'EKEYREJECTED', 'Loading of unsigned module is rejected')
    if (!file.signed && this.lockdown !== 'none') return this.refuse(name, 'EPERM', 'Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7')
    if (file.release !== this.release) return this.refuse(name, 'ENOEXEC', this.generation.mismatch(name, file.release, this.release))
    if (this.modules.has(name)) return this.refuse(name, 'EEXIST', null)
    this.taintBy(file)
    if (file.kind === 'plain') return this.loadPlain(file)
    if (file.kind === 'untagged') return this.refuse(name, 'EINVAL', `livepatch: module ${name} is not marked as a livepatch module`)
    const missing = file.missing[0]
    if (missing !== undefined) return this.refuse(name, 'EINVAL', `livepatch: symbol '${missing}' not found in symbol table`)
    if (!this.statesFit(file)) return this.refuse(name, 'EINVAL', `livepatch: Livepatch patch (${name}) is not compatible with the already installed livepatches.`)
    if (this.transition) return this.refuse(name, 'EBUSY', null)
    return this.enableLoaded(file)
  }

  private enableLoaded(file: SimModule): LoadResult {
    const { name } = file
    this.print(`livepatch: enabling patch '${name}'`)
    const undone = (errno: string, ...lines: string[]): LoadResult => {
      for (const line of [...lines, `livepatch: failed to enable patch '${name}'`, `livepatch: '${name}': unpatching complete`]) this.print(line)
      return this.refuse(name, errno, null)
    }
    if (file.callbackErrno) return undone(file.callbackErrno, `livepatch: pre-patch callback failed for object '${file.objects[0]?.name ?? 'vmlinux'}'`)
    const first = file.objects[0]
    if (!this.ftraceEnabled && first) {
      return undone('EBUSY', `livepatch: failed to register ftrace handler for function '${first.functions[0]?.name ?? ''}' (-16)`, `livepatch: failed to patch object '${first.name}'`)
    }
    const replaced = file.replace && this.generation.replaces ? this.patches.filter((patch) => patch.enabled) : []
    const own = (object: string, fn: SimFunction) => file.objects.some((each) => each.name === object && each.functions.some((mine) => mine.name === fn.name))
    const nops = replaced.flatMap((patch) => patch.module.objects.flatMap((object) =>
      object.functions.filter((fn) => !own(object.name, fn)).map((fn) => ({ object: object.name, fn }))))
    this.modules.set(name, { file, refcnt: 1, releasedAtMs: null })
    const patch: LoadedPatch = { module: file, enabled: true, nops }
    this.patches.push(patch)
    this.transition = new Transition(this, patch, true)
    return { ok: true }
  }

  rmmod(name: string): LoadResult {
    this.settle()
    const module = this.modules.get(name)
    if (!module) return { ok: false, text: `rmmod: ERROR: Module ${name} is not currently loaded` }
    if (module.refcnt > 0) return { ok: false, text: `rmmod: ERROR: Module ${name} is in use` }
    for (const patch of this.patches.filter((each) => each.module.objects.some((object) => object.name === name))) {
      this.print(`livepatch: reverting patch '${patch.module.name}' on unloading module '${name}'`)
    }
    this.modules.delete(name)
    this.patches = this.patches.filter((patch) => patch.module.name !== name)
    return { ok: true }
  }

  /** A write to `enabled`: null, or the errno. Table 1.3 of mechanisms, and its text below it for 4.12 to 5.0. */
  writeEnabled(name: string, value: string): string | null {
    this.settle()
    const patch = this.patches.find((each) => each.module.name === name)
    if (!patch) return 'ENOENT'
    const wanted = boolOf(value)
    if (wanted === null || wanted === patch.enabled) return 'EINVAL'
    if (this.transition?.patch === patch) {
      this.transition.reverse(this)
      return null
    }
    if (this.transition) return 'EBUSY'
    const others = this.patches.filter((each) => each !== patch)
    if (!this.generation.anyOrder) {
      const index = this.patches.indexOf(patch)
      if (!wanted && others.some((each) => each.enabled && this.patches.indexOf(each) > index)) return 'EBUSY'
      if (wanted && others.some((each) => !each.enabled && this.patches.indexOf(each) < index)) return 'EBUSY'
    }
    patch.enabled = wanted
    if (wanted) this.modules.get(name)!.refcnt = 1
    this.transition = new Transition(this, patch, wanted)
    return null
  }

  /** A write to `signal`, a file of 4.15 to 5.0. */
  writeSignal(name: string, value: string): string | null {
    this.settle()
    const patch = this.patches.find((each) => each.module.name === name)
    if (!patch || !this.generation.files.signal) return 'ENOENT'
    const wanted = boolOf(value)
    if (wanted === null || this.transition?.patch !== patch) return 'EINVAL'
    if (wanted) this.transition.signalRemaining(this)
    return null
  }

  /** The end of a transition, told by it. */
  completed(patch: LoadedPatch, patching: boolean, atMs: number): void {
    this.transition = null
    for (const thread of this.threads.values()) thread.patchState = -1
    const { name } = patch.module
    if (patching && patch.module.replace && this.generation.replaces) {
      for (const old of this.patches.filter((each) => each !== patch)) this.letGo(old.module.name, atMs)
      this.patches = [patch]
    }
    if (!patching) {
      this.letGo(name, atMs)
      if (this.generation.folderGoesOnDisable) this.patches = this.patches.filter((each) => each !== patch)
    }
    this.print(`livepatch: '${name}': ${patching ? 'patching' : 'unpatching'} complete`, atMs)
  }

  private letGo(name: string, atMs: number): void {
    const module = this.modules.get(name)
    if (module) module.releasedAtMs = atMs + releaseMs
  }

  /** Power off and on, or a crash: nothing of this boot stays. */
  reboot(downMs = 8_000): void {
    this.transition = null
    this.modules.clear()
    this.patches = []
    this.threads.clear()
    this.log = []
    this.taint = 0
    this.idleStuck = false
    this.bootId = this.chance.uuid()
    this.bootedAtMs = this.clock.nowMs() + downMs
    this.spawnUsual()
  }

  /** A bug somewhere: an oops or a warning in the log and its taint. */
  misbehave(kind: 'oops' | 'warning' | 'hung'): void {
    this.settle()
    const words = { oops: 'BUG: unable to handle page fault for address: 0000000000000042', warning: 'WARNING: CPU: 0 PID: 1 at kernel/sched/core.c:1 sim+0x1/0x2', hung: 'INFO: task sim:1 blocked for more than 120 seconds.' }
    this.print(words[kind])
    this.taint |= { oops: 128, warning: 512, hung: 0 }[kind]
  }

  private loadPlain(file: SimModule): LoadResult {
    for (const patch of this.patches) {
      if (patch.module.objects.some((object) => object.name === file.name)) this.print(`livepatch: applying patch '${patch.module.name}' to loading module '${file.name}'`)
    }
    this.modules.set(file.name, { file, refcnt: 0, releasedAtMs: null })
    return { ok: true }
  }

  private statesFit(file: SimModule): boolean {
    const held = this.patches.filter((patch) => patch.enabled).flatMap((patch) => patch.module.states)
    return held.every((state) => {
      const known = file.states.find((each) => each.id === state.id)
      return known ? known.version >= state.version : !file.replace
    })
  }

  private taintBy(file: SimModule): void {
    if ((this.taint & outOfTree) === 0) this.print(`${file.name}: loading out-of-tree module taints kernel.`)
    if (file.kind === 'livepatch' && (this.taint & livepatched) === 0) this.print(`${file.name}: tainting kernel with TAINT_LIVEPATCH`)
    if (!file.signed && (this.taint & unsigned) === 0) this.print(`${file.name}: module verification failed: signature and/or required key missing - tainting kernel`)
    this.taint |= outOfTree | (file.signed ? 0 : unsigned) | (file.kind === 'livepatch' ? livepatched : 0)
  }

  private refuse(name: string | null, errno: string, line: string | null): LoadResult {
    if (line !== null) this.print(line)
    return { ok: false, text: `insmod: ERROR: could not insert module ${name ?? 'module'}.ko: ${errnoTexts[errno] ?? errno}` }
  }

  private spawnUsual(): void {
    const count = this.options.threads ?? 40
    for (let index = 0; index < count; index++) {
      this.spawn(index % 2 === 0 ? { comm: `kworker/0:${index}`, kernelTask: true, interruptible: false } : { comm: 'sleeper' })
    }
  }
}

/** kstrtobool: what the kernel takes for 0 and 1; null for anything else. */
function boolOf(value: string): boolean | null {
  if (/^(?:1|y|Y|on|On|ON)$/.test(value)) return true
  return /^(?:0|n|N|of|off|Off|OFF)$/.test(value) ? false : null
}

// A build id that depends on the release alone: every simulated machine of one release runs the same build.
function seededHex(text: string): string {
  let hash = 0x811c9dc5
  let digits = ''
  while (digits.length < 40) {
    for (const character of text + digits.length) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0
    digits += hash.toString(16).padStart(8, '0')
  }
  return digits.slice(0, 40)
}
