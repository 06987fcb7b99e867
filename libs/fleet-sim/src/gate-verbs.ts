// What each verb of the gate does to a SimKernel, and the data lines it says.
import type { GateVerb } from '@uptide/contracts/gate'
import { gateModulePattern } from '@uptide/contracts/gate'
import { encodeValue } from '@uptide/livepatch'
import { Refusal } from './gate-state.js'
import type { GateSession, Lease } from './gate-state.js'
import type { Frame, SimKernel, SimThread } from './kernel.js'
import { sha256Of } from './modules.js'

type Say = (data: string) => void
type Handler = (session: GateSession, args: readonly string[], say: Say, body: Uint8Array | null) => void | Promise<void>

const words = (tag: string, values: Readonly<Record<string, string | number | bigint | boolean | null>>): string =>
  [tag, ...Object.entries(values).map(([key, value]) => `${key}=${value === null ? '-' : typeof value === 'boolean' ? Number(value) : encodeValue(String(value))}`)].filter((word) => word !== '').join(' ')

const moduleArg = (name: string | undefined): string => {
  if (name === undefined || !gateModulePattern.test(name)) throw new Refusal('BAD_REQUEST', 'not a module name')
  return name
}

const numberArg = (text: string | undefined, max: number): number => {
  if (text === undefined || !/^\d{1,9}(?:\.\d{1,9})?$/.test(text) || Number(text) > max) throw new Refusal('BAD_REQUEST', 'not a number that is taken')
  return Number(text)
}

const settled = (session: GateSession): SimKernel => {
  session.gate.kernel.settle()
  return session.gate.kernel
}

const patchOf = (kernel: SimKernel, name: string) => kernel.patches.find((patch) => patch.module.name === name)

function hello(session: GateSession, _args: readonly string[], say: Say): void {
  const kernel = settled(session)
  session.greeted = true
  say(words('', { gate: 'uptide', version: 1, mode: session.gate.mode }))
  say(words('', { bootid: kernel.bootId, release: kernel.release, build: kernel.buildId, arch: 'x86_64', uptime: kernel.uptimeSeconds().toFixed(2) }))
}

function lease(session: GateSession, [hostId = '', token = '', attemptId = '']: readonly string[]): void {
  const { gate } = session
  if (!/^\d{1,19}$/.test(token)) throw new Refusal('BAD_REQUEST', 'not a token')
  const wanted: Lease = { hostId, token: BigInt(token), attemptId }
  if (gate.pinnedHostId !== null && gate.pinnedHostId !== hostId) throw new Refusal('WRONG_HOST', 'pinned to another host id')
  if (gate.lockedBy !== null && gate.lockedBy !== session) throw new Refusal('LOCKED', 'another session holds the host')
  if (wanted.token < gate.floor) throw new Refusal('STALE_TOKEN', `the floor is ${gate.floor}`)
  gate.pinnedHostId = hostId
  gate.floor = wanted.token
  gate.lockedBy = session
  session.lease = wanted
  session.effect('lease', [hostId, token, attemptId], 'ok')
}

function facts(session: GateSession, _args: readonly string[], say: Say): void {
  const kernel = settled(session)
  const says = {
    release: kernel.release, build: kernel.buildId, bootid: kernel.bootId, arch: 'x86_64', cpus: kernel.cpus, memory: 512 * 1024 * 1024, taint: kernel.taint,
    klp: 1, patchstate: 1, kgraft: 0, kpatch: 0, stopmachine: 0, sigenforce: kernel.sigEnforce ? 'Y' : 'N', lockdown: kernel.lockdown,
    modulesdisabled: 0, hostname: session.gate.hostname, machineid: sha256Of(new TextEncoder().encode(session.gate.hostname)).slice(0, 32), os: 'Simulated Linux',
  }
  for (const [key, value] of Object.entries(says)) say(words('', { [key]: value }))
}

const taintOf = (kernel: SimKernel, name: string) => {
  const file = kernel.modules.get(name)?.file
  return file ? `O${file.signed ? '' : 'E'}${file.kind === 'livepatch' ? 'K' : ''}` : null
}

function patches(session: GateSession, _args: readonly string[], say: Say): void {
  const kernel = settled(session)
  const { files } = kernel.generation
  kernel.patches.forEach((patch, index) => {
    const { name, srcversion, buildId, replace, objects } = patch.module
    say(words('patch', {
      name, enabled: patch.enabled, transition: kernel.transition?.patch === patch, replace: files.replace ? replace : null,
      stackorder: files.stackOrder ? index + 1 : null, refcnt: kernel.modules.get(name)?.refcnt ?? 0, taint: taintOf(kernel, name), srcversion, build: buildId,
    }))
    for (const object of objects) {
      say(words('object', { patch: name, name: object.name, patched: files.patched ? patch.enabled && kernel.objectLoaded(object.name) : null }))
      for (const fn of object.functions) say(words('func', { patch: name, object: object.name, name: `${fn.name},1` }))
    }
  })
}

function module(session: GateSession, [name]: readonly string[], say: Say): void {
  const kernel = settled(session)
  const loaded = kernel.modules.get(moduleArg(name))
  if (!loaded) throw new Refusal('NO_MODULE', name!)
  say(words('module', { name: name!, state: 'live', refcnt: loaded.refcnt, taint: taintOf(kernel, name!), srcversion: loaded.file.srcversion, build: loaded.file.buildId }))
}

const readable = /^\/sys\/kernel\/livepatch\/([A-Za-z0-9_]{1,55})\/(enabled|transition|replace|stack_order|force|signal)$/

function read(session: GateSession, [path = '']: readonly string[], say: Say): void {
  const kernel = settled(session)
  const [, name = '', file = ''] = readable.exec(path) ?? []
  if (file === '') throw new Refusal('PATH_REFUSED', path)
  const patch = patchOf(kernel, name)
  const { files } = kernel.generation
  const there = { enabled: true, transition: true, replace: files.replace, stack_order: files.stackOrder, force: files.force, signal: files.signal }[file]
  if (!patch || !there) throw new Refusal('NO_FILE', path)
  // Mode 0200: not even root can read these two.
  if (file === 'force' || file === 'signal') throw new Refusal('IO', 'Permission denied')
  const values: Readonly<Record<string, number>> = {
    enabled: Number(patch.enabled), transition: Number(kernel.transition?.patch === patch), replace: Number(patch.module.replace), stack_order: kernel.patches.indexOf(patch) + 1,
  }
  say(words('', { value: values[file]! }))
}

function staged(session: GateSession, [sha256 = '']: readonly string[], say: Say): void {
  const bytes = session.gate.staged.get(sha256)
  say(words('', { staged: bytes !== undefined && sha256Of(bytes) === sha256 }))
}

function stage(session: GateSession, [sha256 = '', length = '']: readonly string[], _say: Say, body: Uint8Array | null): void {
  if (!/^[0-9a-f]{64}$/.test(sha256) || !/^\d{1,10}$/.test(length)) throw new Refusal('BAD_REQUEST', 'stage')
  if (Number(length) > session.gate.bytesMax) throw new Refusal('TOO_LARGE', length)
  if (!body || body.byteLength !== Number(length) || sha256Of(body) !== sha256) throw new Refusal('HASH_MISMATCH', sha256)
  session.gate.staged.set(sha256, body.slice())
  session.effect('stage', [sha256, length], 'ok')
}

const klogSince = (kernel: SimKernel, since: number, linesMax: number) => kernel.log.filter((line) => line.atSeconds > since).slice(-linesMax)
const sayKlog = (say: Say, lines: readonly { atSeconds: number; text: string }[]) => {
  for (const line of lines) say(words('klog', { at: line.atSeconds.toFixed(6), text: line.text }))
}

async function load(session: GateSession, [name, sha256 = '', release, build]: readonly string[], say: Say): Promise<void> {
  const { gate } = session
  const kernel = settled(session)
  moduleArg(name)
  if (release !== kernel.release || (build !== '-' && build !== kernel.buildId)) throw new Refusal('WRONG_KERNEL', `this is ${kernel.release}`)
  const file = gate.stagedModule(sha256)
  const since = kernel.log.at(-1)?.atSeconds ?? 0
  gate.journal.push(`intent load ${name} ${sha256}`)
  const result = kernel.insmod(file)
  session.effect('load', [name!, sha256], result.ok ? 'ok' : result.text)
  // insmod itself takes its time; a small transition is over when it returns.
  await kernel.clock.sleep(gate.loadMs)
  kernel.settle()
  say(words('', { exit: result.ok ? 0 : 1, text: result.ok ? '' : result.text }))
  sayKlog(say, klogSince(kernel, since, 200))
}

function unload(session: GateSession, [name]: readonly string[], say: Say): void {
  const kernel = settled(session)
  session.gate.journal.push(`intent unload ${moduleArg(name)}`)
  const result = kernel.rmmod(name!)
  session.effect('unload', [name!], result.ok ? 'ok' : result.text)
  say(words('', { exit: result.ok ? 0 : 1, text: result.ok ? '' : result.text }))
}

function write(session: GateSession, [name, file = '', value = '']: readonly string[], say: Say): void {
  const kernel = settled(session)
  moduleArg(name)
  if (file === 'force') throw new Refusal('FORCE_REFUSED', name!)
  if (file !== 'enabled' && file !== 'signal') throw new Refusal('BAD_REQUEST', 'only enabled and signal are written')
  session.gate.journal.push(`intent write ${name} ${file} ${value}`)
  const errno = file === 'enabled' ? kernel.writeEnabled(name!, value) : kernel.writeSignal(name!, value)
  session.effect('write', [name!, file, value], errno ?? 'ok')
  say(words('', { errno }))
}

const blocking = (kernel: SimKernel): SimThread[] => {
  const { transition } = kernel
  return transition ? [...kernel.threads.values()].filter((thread) => thread.patchState !== -1 && (thread.patchState === 1) !== transition.patching) : []
}

function nudge(session: GateSession, [name, method]: readonly string[], say: Say): void {
  const kernel = settled(session)
  const patch = patchOf(kernel, moduleArg(name))
  if (!patch) throw new Refusal('NO_MODULE', name!)
  if (method !== 'signal' && method !== 'stopcont') throw new Refusal('BAD_REQUEST', 'no such method')
  if (method === 'signal' && !kernel.generation.files.signal) throw new Refusal('NOT_SUPPORTED', 'no signal file')
  const blockers = kernel.transition?.patch === patch ? blocking(kernel) : []
  session.gate.journal.push(`intent nudge ${name} ${method}`)
  if (method === 'signal') kernel.writeSignal(name!, '1')
  else for (const thread of blockers) kernel.wake(thread.tid)
  session.effect('nudge', [name!, method], 'ok')
  say(words('', { nudged: blockers.filter((thread) => !thread.kernelTask).length }))
}

function scan(session: GateSession, [name]: readonly string[], say: Say): void {
  const kernel = settled(session)
  moduleArg(name)
  const threads = [...kernel.threads.values()]
  const count = (state: number) => threads.filter((thread) => thread.patchState === state).length
  say(words('tasks', { all: threads.length, patched: count(1), unpatched: count(0), undefined: count(-1) }))
}

const frameText = (kernel: SimKernel, frame: Frame): string => {
  const patch = kernel.modules.get(frame.by ?? '')?.file
  const newName = patch?.objects.find((object) => object.name === frame.object)?.functions.find((fn) => fn.name === frame.name)?.newName
  return `${newName ?? frame.name}+0x29/0xb0`
}

function blockers(session: GateSession, [name, limit]: readonly string[], say: Say): void {
  const kernel = settled(session)
  const patch = patchOf(kernel, moduleArg(name))
  if (!patch || kernel.transition?.patch !== patch) return
  for (const thread of blocking(kernel).slice(0, numberArg(limit, 1000))) {
    const stack = thread.frames.map((frame) => frameText(kernel, frame))
    say(words('task', {
      tid: thread.tid, pid: thread.pid, comm: thread.comm, kernel: thread.kernelTask, state: thread.kernelTask ? 'I' : thread.interruptible ? 'S' : 'D',
      stack: [...stack, thread.kernelTask ? 'kthread+0xd7/0x100' : 'do_syscall_64+0x5d/0x90'].join(','),
    }))
  }
}

async function watch(session: GateSession, [name, seconds]: readonly string[], say: Say): Promise<void> {
  const kernel = settled(session)
  const untilMs = kernel.clock.nowMs() + numberArg(seconds, 3600) * 1000
  moduleArg(name)
  for (;;) {
    kernel.settle()
    const patch = patchOf(kernel, name!)
    const transition = patch && kernel.transition?.patch === patch ? kernel.transition : null
    const all = kernel.threads.size
    const age = transition ? Math.round(kernel.clock.nowMs() - transition.startedAtMs) : 0
    say(words('progress', { age, transition: patch ? transition !== null : null, enabled: patch?.enabled ?? null, all, moved: transition ? all - blocking(kernel).length : all }))
    const leftMs = untilMs - kernel.clock.nowMs()
    if (!transition || leftMs <= 0 || session.closed) return
    await kernel.clock.sleep(Math.min(1000, leftMs))
  }
}

function klog(session: GateSession, [since]: readonly string[], say: Say): void {
  sayKlog(say, klogSince(settled(session), numberArg(since, 1e9), 200))
}

function health(session: GateSession, [since]: readonly string[], say: Say): void {
  const kernel = settled(session)
  const lines = klogSince(kernel, numberArg(since, 1e9), Infinity)
  const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line.text)).length
  say(words('', {
    bootid: kernel.bootId, taint: kernel.taint, load1: '0.08', uptime: kernel.uptimeSeconds().toFixed(2),
    oops: count(/^(?:BUG:|Oops|general protection|Kernel panic)/), warn: count(/^WARNING:/), hung: count(/blocked for more than/),
  }))
}

function journal(session: GateSession, [count]: readonly string[], say: Say): void {
  for (const text of session.gate.journal.slice(-numberArg(count, 1000))) say(words('entry', { text }))
}

export const gateHandlers: Readonly<Record<GateVerb, Handler>> = {
  hello, lease, facts, patches, module, read, staged, stage, load, unload, write, nudge, scan, blockers, watch, klog, health, journal,
}
