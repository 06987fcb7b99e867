// The conformance vectors of upstream livepatch: what every gate, kernel and simulator must do alike. They are data,
// taken from the kernel's own selftests, from what the lab saw, and from mechanisms §8.4. Nothing here may depend on
// the simulator.
import type { KlpOperation, KlpOutcome } from '@uptide/livepatch'
import type { BenchFeature, BuildName } from './bench.js'

/** What an outcome must be; absent: anything. */
export interface OutcomePattern {
  readonly kind: KlpOutcome['kind']
  readonly code?: string
  readonly touched?: 'no' | 'yes' | 'unknown'
  readonly already?: boolean
  readonly moduleState?: string
  /** A function that stands on the stack of one of the blockers. */
  readonly blockedIn?: string
  /** The least and the most that the kernel logged, milliseconds. */
  readonly transitionMs?: readonly [number, number]
  /** Builds whose modules the reading must list, and no others. */
  readonly loaded?: readonly BuildName[]
}

export type Act =
  | {
      readonly act: KlpOperation
      readonly build: BuildName
      readonly expect: OutcomePattern
      /** Default 4 s: long for an idle machine, short for a test. */
      readonly stallAfterMs?: number
      readonly baking?: boolean
      readonly intent?: 'apply' | 'revert'
      /** Claim that the build is for the kernel that runs. */
      readonly claimed?: boolean
      /** The connection ends at the first request with this verb: before it is sent, or after it was done. */
      readonly lose?: { readonly verb: string; readonly when: 'before' | 'after' }
    }
  /** One raw request. `MODULE:x`, `SHA256:x`, `LENGTH:x`, `RELEASE` and `BUILD` in the arguments stand for what the bench has. */
  | {
      readonly act: 'ask'
      readonly verb: string
      readonly args?: readonly string[]
      readonly body?: BuildName
      readonly lease?: 'next' | 'stale' | 'other-host' | 'none'
      /** While another session holds the lease. */
      readonly locked?: true
      /** Refused with this code, or answered with lines of which one fits this pattern. */
      readonly refused?: string
      readonly says?: RegExp
    }
  | { readonly act: 'state'; readonly build: BuildName; readonly is: 'ABSENT' | 'ACTIVE' | 'PATCHING' | 'UNPATCHING' | 'OFF' }
  | { readonly act: 'block'; readonly where: 'target' | 'hold'; readonly kind: 'lasting' | 'interruptible' }
  | { readonly act: 'release' }
  | { readonly act: 'target'; readonly loaded: boolean }
  | { readonly act: 'pause'; readonly ms: number }
  | { readonly act: 'reboot' }

export interface Vector {
  readonly name: string
  readonly needs?: readonly BenchFeature[]
  readonly acts: readonly Act[]
}

const patched = (build: BuildName): Act => ({ act: 'apply', build, expect: { kind: 'patched', already: false, moduleState: 'ACTIVE' } })
const reverted = (build: BuildName): Act => ({ act: 'revert', build, expect: { kind: 'reverted', moduleState: 'ABSENT' } })
const absent = (build: BuildName): Act => ({ act: 'state', build, is: 'ABSENT' })
const active = (build: BuildName): Act => ({ act: 'state', build, is: 'ACTIVE' })
const failed = (build: BuildName, code: string): Act => ({ act: 'apply', build, expect: { kind: 'failed', code, touched: 'no' } })
const stalled: Act = { act: 'apply', build: 'stall', stallAfterMs: 2000, expect: { kind: 'stalled', moduleState: 'PATCHING', blockedIn: 'lab_wait' } }
const unsigned: readonly BenchFeature[] = ['loads-unsigned']

/** A reader waits in lab_target, and the transition of `stall` waits for it. */
const stuck = (kind: 'lasting' | 'interruptible'): Act[] => [{ act: 'target', loaded: true }, { act: 'block', where: 'target', kind }, stalled]
const freed: Act[] = [{ act: 'release' }, { act: 'pause', ms: 2500 }]

const basics: readonly Vector[] = [
  {
    name: 'a build is loaded, disabled and unloaded',
    acts: [absent('v1'), { act: 'apply', build: 'v1', expect: { kind: 'patched', already: false, moduleState: 'ACTIVE', transitionMs: [0, 10_000], loaded: ['v1'] } }, active('v1'),
      { act: 'revert', build: 'v1', expect: { kind: 'reverted', already: false, moduleState: 'ABSENT', transitionMs: [0, 10_000], loaded: [] } }, absent('v1')],
  },
  {
    name: 'a build that is active is found active, and loading it again is refused by the kernel',
    acts: [patched('v1'), { act: 'apply', build: 'v1', expect: { kind: 'patched', already: true } },
      { act: 'ask', verb: 'load', args: ['MODULE:v1', 'SHA256:v1', 'RELEASE', 'BUILD'], lease: 'next', says: /^exit=[1-9]\d* text=.*File%20exists/i }, active('v1')],
  },
  { name: 'two builds stack', acts: [patched('v1'), patched('shadow'), active('v1'), active('shadow'), reverted('shadow'), active('v1'), reverted('v1')] },
  { name: 'the lower of two builds is disabled first', needs: ['any-order'], acts: [patched('v1'), patched('shadow'), reverted('v1'), active('shadow'), absent('v1')] },
  {
    name: 'the lower of two builds cannot be disabled on an old kernel', needs: ['last-first'],
    acts: [patched('v1'), patched('shadow'), { act: 'revert', build: 'v1', expect: { kind: 'failed', code: 'ORDER_VIOLATION', touched: 'no' } }, active('v1'), reverted('shadow'), reverted('v1')],
  },
  {
    name: 'a cumulative build replaces the others in one transition, and what it replaced is unloaded', needs: ['replace'],
    acts: [patched('v1'), patched('shadow'), { act: 'apply', build: 'v2', expect: { kind: 'patched', already: false, loaded: ['v2'] } }, absent('v1'), absent('shadow'), reverted('v2')],
  },
  { name: 'a build is applied again after it was reverted', acts: [patched('v1'), reverted('v1'), patched('v1'), active('v1'), reverted('v1')] },
  { name: 'reverting what is not there is done already', acts: [{ act: 'revert', build: 'v1', expect: { kind: 'reverted', already: true, moduleState: 'ABSENT' } }] },
  {
    name: 'a module that was disabled and left behind is unloaded and loaded anew',
    acts: [patched('v1'), { act: 'ask', verb: 'write', args: ['MODULE:v1', 'enabled', '0'], lease: 'next', says: /^errno=-$/ }, { act: 'pause', ms: 3000 },
      { act: 'state', build: 'v1', is: 'OFF' }, patched('v1'), active('v1')],
  },
  {
    name: 'an object whose module is not loaded is patched when it comes',
    acts: [{ act: 'target', loaded: false }, patched('stall'), { act: 'target', loaded: true }, { act: 'look', build: 'stall', expect: { kind: 'patched', moduleState: 'ACTIVE' } }, reverted('stall')],
  },
  { name: 'a patched host that stays well is healthy', acts: [patched('v1'), { act: 'look', build: 'v1', baking: true, expect: { kind: 'healthy', moduleState: 'ACTIVE' } }] },
  { name: 'a host that lost its patch is not healthy', acts: [patched('v1'), reverted('v1'), { act: 'look', build: 'v1', baking: true, expect: { kind: 'unhealthy', code: 'NOT_ACTIVE' } }] },
]

const stalls: readonly Vector[] = [
  {
    name: 'a lasting blocker stalls a transition, is listed, and lets it end when it is released',
    acts: [...stuck('lasting'), { act: 'look', build: 'stall', expect: { kind: 'stalled', moduleState: 'PATCHING', blockedIn: 'lab_wait' } }, ...freed,
      { act: 'look', build: 'stall', expect: { kind: 'patched', moduleState: 'ACTIVE' } }, reverted('stall')],
  },
  {
    name: 'an apply that finds its own transition running waits for it and loads nothing',
    acts: [...stuck('lasting'), { act: 'apply', build: 'stall', stallAfterMs: 2000, expect: { kind: 'stalled', blockedIn: 'lab_wait' } }, ...freed, { act: 'apply', build: 'stall', expect: { kind: 'patched', already: true } }],
  },
  {
    name: 'the signal of the kernel clears an interruptible blocker', needs: ['auto-signal'],
    acts: [{ act: 'target', loaded: true }, { act: 'block', where: 'target', kind: 'interruptible' },
      { act: 'apply', build: 'stall', stallAfterMs: 40_000, expect: { kind: 'patched', already: false, transitionMs: [13_000, 25_000] } }, reverted('stall')],
  },
  { name: 'a nudge clears an interruptible blocker at once', acts: [...stuck('interruptible'), { act: 'nudge', build: 'stall', expect: { kind: 'patched', moduleState: 'ACTIVE' } }, reverted('stall')] },
  { name: 'a nudge does not move a lasting blocker', acts: [...stuck('lasting'), { act: 'nudge', build: 'stall', expect: { kind: 'stalled', blockedIn: 'lab_wait' } }, ...freed, reverted('stall')] },
  {
    name: 'a transition is turned round in the middle, and nothing of it stays',
    acts: [...stuck('lasting'), { act: 'reverse', build: 'stall', stallAfterMs: 20_000, expect: { kind: 'reverted', already: false, moduleState: 'ABSENT' } }, absent('stall'), { act: 'release' }],
  },
  { name: 'a completed transition is not turned round', acts: [patched('v1'), { act: 'reverse', build: 'v1', expect: { kind: 'patched', moduleState: 'ACTIVE' } }, active('v1')] },
  {
    name: 'a replacement that stalls and is turned round leaves the set that was there', needs: ['replace'],
    acts: [patched('hold'), { act: 'block', where: 'hold', kind: 'lasting' }, { act: 'apply', build: 'v2', stallAfterMs: 2000, expect: { kind: 'stalled', moduleState: 'PATCHING' } },
      { act: 'reverse', build: 'v2', stallAfterMs: 20_000, expect: { kind: 'reverted', moduleState: 'ABSENT', loaded: ['hold'] } }, active('hold'), absent('v2'), ...freed, reverted('hold')],
  },
  {
    name: 'a task in the new function stalls the disabling',
    acts: [patched('hold'), { act: 'block', where: 'hold', kind: 'lasting' }, { act: 'revert', build: 'hold', stallAfterMs: 2000, expect: { kind: 'stalled', moduleState: 'UNPATCHING' } },
      { act: 'state', build: 'hold', is: 'UNPATCHING' }, { act: 'look', build: 'hold', intent: 'revert', expect: { kind: 'stalled', moduleState: 'UNPATCHING' } }, ...freed, reverted('hold'), absent('hold')],
  },
  {
    name: 'nothing else is loaded or disabled while a transition runs',
    acts: [patched('shadow'), ...stuck('lasting'), failed('v1', 'TRANSITION_BUSY'), absent('v1'),
      { act: 'revert', build: 'shadow', expect: { kind: 'failed', code: 'TRANSITION_BUSY', touched: 'no' } },
      { act: 'ask', verb: 'stage', args: ['SHA256:v1', 'LENGTH:v1'], body: 'v1', lease: 'next' },
      { act: 'ask', verb: 'load', args: ['MODULE:v1', 'SHA256:v1', 'RELEASE', 'BUILD'], lease: 'next', says: /^exit=[1-9]\d* text=.*resource%20busy/i },
      { act: 'ask', verb: 'write', args: ['MODULE:shadow', 'enabled', '0'], lease: 'next', says: /^errno=EBUSY$/ }, ...freed, reverted('stall'), reverted('shadow')],
  },
]

const refusals: readonly Vector[] = [
  { name: 'a build that is enabled is not unloaded', acts: [patched('v1'), { act: 'ask', verb: 'unload', args: ['MODULE:v1'], lease: 'next', says: /^exit=[1-9]\d* text=.*in%20use/i }, active('v1')] },
  {
    name: 'writing what is there already, or junk, changes nothing',
    acts: [patched('v1'), { act: 'ask', verb: 'write', args: ['MODULE:v1', 'enabled', '1'], lease: 'next', says: /^errno=EINVAL$/ }, active('v1')],
  },
  {
    name: 'a transition is never forced',
    acts: [patched('v1'), { act: 'ask', verb: 'write', args: ['MODULE:v1', 'force', '1'], lease: 'next', refused: 'FORCE_REFUSED' }, active('v1')],
  },
  {
    name: 'a build for another kernel is not tried, and not loaded when it lies about it',
    acts: [{ act: 'apply', build: 'wrong_kernel', expect: { kind: 'skipped', code: 'KERNEL_MISMATCH' } },
      { act: 'ask', verb: 'load', args: ['MODULE:wrong_kernel', 'SHA256:wrong_kernel', '1.2.3-other', '-'], lease: 'next', refused: 'WRONG_KERNEL' },
      { act: 'apply', build: 'wrong_kernel', claimed: true, expect: { kind: 'failed', code: 'KERNEL_MISMATCH', touched: 'no' } }, absent('wrong_kernel')],
  },
  { name: 'a build that names a missing function is refused', acts: [failed('bad_symbol', 'SYMBOL_MISMATCH'), absent('bad_symbol')] },
  { name: 'a module that is not marked as a livepatch is refused', acts: [failed('bad_notag', 'NOT_A_LIVEPATCH'), absent('bad_notag')] },
  { name: 'a build whose callback refuses is not loaded', acts: [failed('bad_callback', 'CALLBACK_REFUSED'), absent('bad_callback')] },
  {
    name: 'an older fencing token is refused, and another host id too',
    acts: [patched('v1'), { act: 'ask', verb: 'facts', lease: 'stale', refused: 'STALE_TOKEN' }, { act: 'ask', verb: 'facts', lease: 'other-host', refused: 'WRONG_HOST' }, active('v1')],
  },
  { name: 'a second session does not get the host while the first has it', acts: [{ act: 'ask', verb: 'facts', lease: 'next', locked: true, refused: 'LOCKED' }] },
  {
    name: 'nothing is changed without a lease',
    acts: [{ act: 'ask', verb: 'unload', args: ['MODULE:v1'], lease: 'none', refused: 'NO_LEASE' }, { act: 'ask', verb: 'write', args: ['MODULE:v1', 'enabled', '0'], lease: 'none', refused: 'NO_LEASE' }],
  },
  { name: 'a file that is none of livepatch is not read', acts: [{ act: 'ask', verb: 'read', args: ['/etc/shadow'], lease: 'none', refused: 'PATH_REFUSED' }] },
  { name: 'a build that arrives damaged is not kept', acts: [{ act: 'ask', verb: 'stage', args: ['SHA256:v2', 'LENGTH:v1'], body: 'v1', lease: 'next', refused: 'HASH_MISMATCH' }, patched('v2')] },
]

const losses: readonly Vector[] = [
  {
    name: 'an apply is repeated after contact was lost behind the load, and loads once',
    acts: [{ act: 'apply', build: 'v1', lose: { verb: 'load', when: 'after' }, expect: { kind: 'failed', code: 'CONTACT_LOST', touched: 'unknown' } }, { act: 'pause', ms: 1000 },
      { act: 'apply', build: 'v1', expect: { kind: 'patched', already: true, loaded: ['v1'] } }, reverted('v1')],
  },
  {
    name: 'an apply is repeated after contact was lost before the load',
    acts: [{ act: 'apply', build: 'v1', lose: { verb: 'load', when: 'before' }, expect: { kind: 'failed', code: 'CONTACT_LOST', touched: 'unknown' } }, patched('v1'), reverted('v1')],
  },
  {
    name: 'a revert is repeated after contact was lost behind the disabling',
    acts: [patched('v1'), { act: 'revert', build: 'v1', lose: { verb: 'write', when: 'after' }, expect: { kind: 'failed', code: 'CONTACT_LOST', touched: 'unknown' } }, { act: 'pause', ms: 1000 }, reverted('v1'), absent('v1')],
  },
  {
    name: 'a host that was rebooted after the load says so', needs: ['reboots'],
    acts: [patched('v1'), { act: 'reboot' }, { act: 'apply', build: 'v1', expect: { kind: 'rebooted', touched: 'yes' } }, { act: 'look', build: 'v1', expect: { kind: 'rebooted' } },
      { act: 'revert', build: 'v1', expect: { kind: 'reverted', already: true } }, absent('v1')],
  },
]

/** Vectors for hosts that take unsigned modules, which the lab's are. */
const open: readonly Vector[] = [...basics, ...stalls, ...refusals, ...losses].map((vector) => ({ ...vector, needs: [...unsigned, ...(vector.needs ?? [])] }))

const enforced: readonly Vector[] = [
  { name: 'an unsigned build is refused where signatures are enforced', needs: ['sig-enforce'], acts: [failed('v1', 'SIGNATURE_REJECTED'), absent('v1')] },
  { name: 'an unsigned build is refused where the kernel is locked down', needs: ['lockdown'], acts: [failed('v1', 'LOCKDOWN'), absent('v1')] },
]

export const vectors: readonly Vector[] = [...open, ...enforced]

/** Those that a bench can run. */
export const vectorsFor = (features: ReadonlySet<BenchFeature>): readonly Vector[] =>
  vectors.filter((vector) => (vector.needs ?? []).every((feature) => features.has(feature)))
