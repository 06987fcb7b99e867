// A host as the planner meets it: a kernel that loads, stalls, is turned round and reboots, and a worker's walk through
// one attempt as a generator. Chance decides what goes wrong; the kernel's own logic does not.
import type { AttemptKind, Outcome, Reading, TargetState } from '@uptide/rollout'
import type { Chance } from '../seed.js'

export const tempers = ['sound', 'refuses', 'stalls', 'stalls-for-ever', 'nudgeable', 'reboots-on-load', 'silent-after-load', 'unhealthy', 'unfit', 'locked'] as const
export type Temper = (typeof tempers)[number]

export interface Host {
  readonly name: string
  readonly temper: Temper
  boot: number
  module: 'absent' | 'patching' | 'active' | 'unpatching'
  /** When the running transition ends. */
  freeAt: number
  transitionSince: number
  silentUntil: number
  /** How often a load reached the kernel. */
  loads: number
  /** Loads that reached a kernel which held the module already: a breach. */
  doubleLoads: number
  /** The token of every change that it carried out, in order. */
  readonly tokens: number[]
}

export const newHost = (name: string, temper: Temper): Host => ({ name, temper, boot: 1, module: 'absent', freeAt: 0, transitionSince: 0, silentUntil: 0, loads: 0, doubleLoads: 0, tokens: [] })

/** What a worker does next: it takes so long, and this phase is committed before it goes on. */
export interface Step { readonly takesMs: number; readonly phase?: TargetState; readonly touched?: boolean; readonly bootId?: string }

export interface Walk { readonly host: Host; readonly chance: Chance; readonly now: () => number; readonly job: { readonly touched: boolean; readonly bootIdBefore: string | null; readonly state: TargetState }; readonly stallAfterMs: number; readonly lossRate: number; readonly token: number
  /** The boot in which the connection was opened. */
  boot?: number }

const bootIdOf = (host: Host): string => `boot-${host.boot}`

/** A transition that is due has ended. */
function settle({ host, now }: Walk): void {
  if (host.freeAt > now()) return
  if (host.module === 'patching') host.module = 'active'
  if (host.module === 'unpatching') host.module = 'absent'
}

export function reboot(host: Host): void { host.boot += 1; host.module = 'absent' }

const reading = (host: Host): Reading => ({ moduleState: host.module, bootId: bootIdOf(host), kernelRelease: 'k', taint: 0, loaded: host.module === 'absent' ? [] : ['m'] })
const failed = (code: string, touched: 'no' | 'yes' | 'unknown'): Outcome => ({ kind: 'failed', code, detail: 'as the model says', touched })

function begin(walk: Walk, direction: 'patching' | 'unpatching'): void {
  const { host, chance, now } = walk
  const lasts: Partial<Record<Temper, number>> = { 'stalls': chance.whole(40_000, 400_000), 'stalls-for-ever': Infinity, 'nudgeable': Infinity }
  host.module = direction
  host.transitionSince = now()
  host.freeAt = now() + (direction === 'patching' ? (lasts[host.temper] ?? chance.whole(200, 3_000)) : chance.whole(200, 3_000))
}

const lostContact = (walk: Walk): boolean => (walk.boot !== undefined && walk.boot !== walk.host.boot) || walk.host.silentUntil > walk.now() || walk.chance.happens(walk.lossRate)
const rebooted = ({ host, job }: Walk): Outcome | null =>
  (job.bootIdBefore !== null && job.bootIdBefore !== bootIdOf(host) ? { kind: 'rebooted', bootIdBefore: job.bootIdBefore, bootIdAfter: bootIdOf(host), touched: job.touched ? 'yes' : 'no' } : null)

function* arrive(walk: Walk): Generator<Step, Outcome | null> {
  yield { takesMs: walk.chance.whole(50, 1_500) }
  if (lostContact(walk)) return failed(walk.chance.pick(['UNREACHABLE', 'CONNECT_TIMEOUT']), 'no')
  walk.boot = walk.host.boot
  if (walk.host.temper === 'locked' && walk.chance.happens(0.3)) return failed('LOCKED', 'no')
  settle(walk)
  return null
}

/** What the kernel says now, in the words of an outcome. */
function read(walk: Walk): Outcome {
  const { host, now } = walk
  settle(walk)
  if (host.module === 'active') return { kind: 'patched', reading: reading(host), transitionMs: Math.round(host.freeAt - host.transitionSince), already: false }
  if (host.module === 'absent') return failed('NOT_ACTIVE', 'no')
  return {
    kind: 'stalled', reading: reading(host), tasks: { moved: 98, all: 100 }, transitionAgeMs: now() - host.transitionSince,
    blockers: [{ tid: 7, pid: 7, comm: 'blocker', kernelTask: false, state: 'D', stack: ['pipe_read+0x1'] }],
  }
}

function* waitFor(walk: Walk, phase: TargetState): Generator<Step> {
  const { host, now, stallAfterMs } = walk
  yield { phase, takesMs: Math.min(Math.max(host.freeAt - now(), 10), stallAfterMs) }
}

function* apply(walk: Walk): Generator<Step, Outcome> {
  const fault = (yield* arrive(walk)) ?? rebooted(walk)
  if (fault) return fault
  const { host } = walk
  if (host.temper === 'unfit' && !walk.job.touched) return { kind: 'skipped', code: 'KERNEL_MISMATCH', detail: 'it runs another kernel' }
  if (host.module === 'unpatching') return failed('TRANSITION_BUSY', 'no')
  if (host.module === 'absent') {
    yield { phase: 'staging', takesMs: walk.chance.whole(10, 500), bootId: bootIdOf(host) }
    yield { phase: 'loading', touched: true, takesMs: walk.chance.whole(10, 500) }
    if (lostContact(walk)) return failed('CONTACT_LOST', 'unknown')
    host.loads += 1
    host.tokens.push(walk.token)
    if ((host.module as Host['module']) !== 'absent') host.doubleLoads += 1
    if (host.temper === 'refuses') return failed('SYMBOL_MISMATCH', 'no')
    begin(walk, 'patching')
    if (host.temper === 'reboots-on-load') { reboot(host); host.silentUntil = walk.now() + 30_000 }
    if (host.temper === 'silent-after-load') host.silentUntil = walk.now() + walk.chance.pick([20_000, 10_000_000])
  }
  yield* waitFor(walk, 'transitioning')
  if (lostContact(walk)) return failed('CONTACT_LOST', 'unknown')
  return rebooted({ ...walk, job: { ...walk.job, touched: true, bootIdBefore: walk.job.bootIdBefore ?? null } }) ?? read(walk)
}

function* look(walk: Walk): Generator<Step, Outcome> {
  const fault = (yield* arrive(walk)) ?? rebooted(walk)
  if (fault) return fault
  const { host, job } = walk
  if (job.state !== 'baking') return read(walk)
  if (host.module !== 'active') return { kind: 'unhealthy', reading: reading(host), code: 'NOT_ACTIVE', detail: 'it is off' }
  return host.temper === 'unhealthy' ? { kind: 'unhealthy', reading: reading(host), code: 'KERNEL_OOPS', detail: 'one oops' } : { kind: 'healthy', reading: reading(host) }
}

function* nudge(walk: Walk): Generator<Step, Outcome> {
  const fault = (yield* arrive(walk)) ?? rebooted(walk)
  if (fault) return fault
  if (walk.host.temper === 'nudgeable' && walk.host.module === 'patching') walk.host.freeAt = walk.now() + 500
  yield { takesMs: 1_000 }
  if (lostContact(walk)) return failed('CONTACT_LOST', 'yes')
  settle(walk)
  if (walk.job.state === 'reverting' && walk.host.module === 'absent') return { kind: 'reverted', reading: reading(walk.host), transitionMs: 1, already: false }
  if (walk.job.state === 'reverting' && walk.host.module === 'active') return failed('STILL_ACTIVE', 'yes')
  return read(walk)
}

function* back(walk: Walk, activeToo: boolean): Generator<Step, Outcome> {
  const fault = yield* arrive(walk)
  if (fault) return fault
  const { host } = walk
  const gone = rebooted(walk)
  if (gone) return gone
  if (host.module === 'active' && !activeToo) return read(walk)
  if (host.module === 'active' || host.module === 'patching') {
    host.tokens.push(walk.token)
    begin(walk, 'unpatching')
  }
  yield* waitFor(walk, 'reverting')
  if (lostContact(walk)) return failed('CONTACT_LOST', 'yes')
  settle(walk)
  return host.module === 'absent' ? { kind: 'reverted', reading: reading(host), transitionMs: 1, already: false } : read(walk)
}

const walks: Readonly<Record<AttemptKind, (walk: Walk) => Generator<Step, Outcome>>> = {
  apply, look, nudge, reverse: (walk) => back(walk, false), revert: (walk) => back(walk, true),
}

export const walkOf = (kind: AttemptKind, walk: Walk): Generator<Step, Outcome> => walks[kind](walk)
