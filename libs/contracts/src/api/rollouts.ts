import { z } from 'zod'
import { schedule } from './schedule.js'
import { at, id, labelKey, labels, name, pageQuery, prose, reason } from './words.js'

const ms = (max: number) => z.number().int().min(0).max(max)
const day = 24 * 60 * 60_000

export const waveSize = z.union([
  z.strictObject({ kind: z.literal('count'), hosts: z.number().int().min(1).max(100_000) }),
  z.strictObject({ kind: z.literal('percent'), percent: z.number().gt(0).max(100) }),
  z.strictObject({ kind: z.literal('selector'), selector: prose(20_000).min(1) }),
])
const limit = z.strictObject({ max: z.number().int().min(0).max(100_000).optional(), percent: z.number().min(0).lt(100).optional(), minSample: z.number().int().min(1).max(100_000).optional() })

export const strategy = z.object({
  waves: z.array(waveSize).max(50),
  canaryPerBuild: z.number().int().min(1).max(100),
  inFlightMax: z.number().int().min(1).max(10_000),
  errorsMax: z.number().int().min(0).max(100_000),
  countInFlight: z.boolean().optional(),
  canaryLabels: z.array(labelKey).max(5).optional(),
  groups: z.array(z.strictObject({ label: labelKey, max: z.number().int().min(1).max(10_000) })).max(10).optional(),
  schedule: schedule.optional(),
  approvals: z.strictObject({ needed: z.number().int().min(1).max(5), expiresMs: z.number().int().min(60_000).max(30 * day).default(day) }).optional(),
  priority: z.number().int().min(0).max(100).optional(),
  weight: z.number().int().min(1).max(100).optional(),
  limits: z.strictObject({ failed: limit.optional(), stalled: limit.optional(), lost: limit.optional() }).optional(),
  stoppedBuildsMax: z.number().int().min(0).max(1_000).optional(),
  bakeMs: ms(7 * day),
  checkAtMs: z.array(ms(7 * day)).max(20).optional(),
  stall: z.object({
    afterMs: ms(day), acts: z.array(z.enum(['wait', 'nudge', 'reverse'])).max(20),
    intervalMs: ms(day), intervalMaxMs: ms(day), giveUpMs: ms(7 * day), onGiveUp: z.enum(['reverse', 'hold']),
  }),
  retry: z.object({ attemptsMax: z.number().int().min(1).max(20), firstMs: ms(day), maxMs: ms(day) }),
  onFailure: z.enum(['hold', 'revert-wave', 'revert-all']),
})
/** What is left out comes from the default strategy; what is misspelt is refused. */
export const strategyInput = z.strictObject({
  ...strategy.omit({ stall: true, retry: true }).partial().shape,
  stall: strategy.shape.stall.partial().strict().optional(),
  retry: strategy.shape.retry.partial().strict().optional(),
})

/**
 * Which hosts: all, or by name, by labels and by a selector, of which all must match. The selector's grammar:
 * libs/rollout/src/selector/grammar.ts.
 */
export const hostSelection = z.strictObject({
  hosts: z.array(name).max(100_000).optional(), labels: labels.optional(), selector: prose(20_000).min(1).optional(), all: z.boolean().optional(),
}).refine((s) => Boolean(s.all) !== Boolean(s.hosts?.length || Object.keys(s.labels ?? {}).length || s.selector), 'say either all, or hosts, labels and a selector')

export const rolloutAsk = z.object({
  name: name.optional(), patch: name, selection: hostSelection, strategy: strategyInput.default({}),
})
export const rolloutCreate = rolloutAsk.extend({
  /** Refuse when the plan is not the one that was looked at. */
  planHash: z.string().optional(),
  start: z.boolean().default(true),
})

export const plannedWave = z.object({
  index: z.number().int(), canary: z.boolean(), hosts: z.array(z.object({ name: z.string(), kernel: z.string(), build: z.string() })),
  why: z.array(z.string()),
})
export const rolloutPlan = z.object({
  patch: z.string(), hosts: z.number().int(), waves: z.array(plannedWave),
  skipped: z.array(z.object({ host: z.string(), reason })), strategy, says: z.array(z.string()),
  /** Estimates; `lastsMs` is time in which hosts may start. */
  forecast: z.object({
    lastsMs: z.number(), builds: z.array(z.object({ kernel: z.string(), buildId: id, hosts: z.number().int(), harmedMost: z.number().int() })),
    badProbability: z.number(), harmedExpected: z.number(), harmedExpectedWithout: z.number(),
  }),
  planHash: z.string(),
})

export const rolloutState = z.enum(['draft', 'awaiting-approval', 'scheduled', 'running', 'held', 'reverting', 'succeeded', 'failed', 'reverted', 'cancelled'])
export const waveState = z.enum(['pending', 'running', 'baking', 'passed', 'failed'])
export const targetState = z.enum(['pending', 'checking', 'staging', 'loading', 'transitioning', 'stalled', 'patched', 'baking', 'succeeded', 'reverting', 'reverted', 'failed', 'lost', 'skipped', 'cancelled'])

export const wave = z.object({ id, index: z.number().int(), canary: z.boolean(), state: waveState, hosts: z.number().int(), counts: z.record(z.string(), z.number().int()) })
/** A build of a rollout; `stopped`: it went bad in the canary and waits for a person; `halted`: its artefact starts nowhere. */
export const rolloutBuild = z.object({
  id, kernelRelease: z.string(), counts: z.record(z.string(), z.number().int()), proven: z.boolean(), stopped: reason.nullable(), halted: reason.nullable(),
})
export const rollout = z.object({
  id, name, kind: z.enum(['patch', 'revert']), patch: z.string(), state: rolloutState, reason: reason.nullable(), strategy,
  waves: z.array(wave), builds: z.array(rolloutBuild), hosts: z.number().int(), counts: z.record(z.string(), z.number().int()),
  planHash: z.string().nullable(), approvals: z.array(z.object({ principal: z.string(), says: z.string(), at, expiresAt: at })),
  createdAt: at, createdBy: z.string(), startedAt: at.nullable(), endedAt: at.nullable(),
})
export type Rollout = z.infer<typeof rollout>

export const blocker = z.object({ tid: z.number(), pid: z.number(), comm: z.string(), kernelTask: z.boolean(), state: z.string(), stack: z.array(z.string()) })
export const target = z.object({
  id, rolloutId: id, hostId: id, host: z.string(), wave: z.number().int(), state: targetState, reason: reason.nullable(),
  kernelRelease: z.string().nullable(), buildId: id.nullable(), tries: z.number().int(),
  progress: z.object({ moved: z.number(), all: z.number(), transitionAgeMs: z.number(), at: z.number() }).nullable(),
  blockers: z.array(blocker), transitionMs: z.number().nullable(), bootIdBefore: z.string().nullable(), bootIdAfter: z.string().nullable(),
  startedAt: at.nullable(), settledAt: at.nullable(),
  /** What a pending host waits on now. */
  waitingOn: reason.nullable(),
})
export type Target = z.infer<typeof target>
export const targetQuery = pageQuery.extend({ state: targetState.optional(), wave: z.coerce.number().int().min(0).max(10_000).optional() })

export const actReason = z.object({ reason: prose(500).optional() })
/** Why is kept for good. `planHash`: refuse when the plan is not the one that was looked at. */
export const approvalAsk = z.strictObject({ reason: prose(500).min(3), planHash: z.string().max(100).optional() })

/** The first call asks, the second, by somebody else, confirms. How long it holds is said by the first. */
export const overrideAsk = z.strictObject({ reason: prose(500).min(3), lastsMs: z.number().int().min(60_000).max(day).default(2 * 60 * 60_000) })
export const overrideReply = z.object({ until: at.nullable() })

/** The installation's own limit on hosts in flight, for all rollouts together; null: none. */
export const pacing = z.strictObject({ inFlightMax: z.number().int().min(1).max(100_000).nullable() })

/** Without hosts: the whole rollout. */
export const revertAsk = z.object({ reason: prose(500).optional(), hosts: z.array(name).max(10_000).optional() })
