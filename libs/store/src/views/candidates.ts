// Who might start next. Every part reads the beginning of an index range, so that a wave of any size costs the same.
import { type BuildView, startLimit, type Strategy, targetMeaning, type WaveView } from '@uptide/rollout'
import type { Tx } from '../database.js'
import { Prisma } from '../generated/client.js'

export interface Started { readonly build_id: string | null; readonly state: keyof typeof targetMeaning; readonly a_id: string | null; readonly a_state: string; readonly groups: readonly string[]; readonly quorum: string | null }

/** What of a build may start in a wave: as many as there is room for, one, or none (one is shown all the same, to say why). */
type Class = 'free' | 'one' | 'none'

/** The waves asked: those that have begun, else the first that has not. */
export function wavesAsked(waves: readonly WaveView[]): WaveView[] {
  const begun = waves.filter((wave) => wave.state !== 'passed' && wave.state !== 'pending')
  return begun.length > 0 ? begun : waves.filter((wave) => wave.state === 'pending').slice(0, 1)
}

function classOf(build: BuildView, wave: WaveView, started: ReadonlyMap<string, number>): Class {
  const limit = startLimit(build, wave.canary)
  if (limit === Infinity) return 'free'
  return (started.get(build.id) ?? 0) < limit ? 'one' : 'none'
}

const isStarted = (row: Started): boolean => (row.a_id !== null && (row.a_state === 'ordered' || row.a_state === 'running')) || targetMeaning[row.state].inFlight

/** Hosts that cannot start beside those in flight: of a full group, or of a quorum that has one in flight. */
function besides(active: readonly Started[], strategy: Strategy): Prisma.Sql {
  const started = active.filter(isStarted)
  const full = (strategy.groups ?? []).flatMap(({ label, max }) => {
    const counts = new Map<string, number>()
    for (const group of started.flatMap((row) => row.groups.filter((one) => one.startsWith(`${label}=`)))) counts.set(group, (counts.get(group) ?? 0) + 1)
    return [...counts].filter(([, n]) => n >= max).map(([group]) => group)
  })
  const quorums = [...new Set(started.flatMap((row) => row.quorum ?? []))]
  const parts = [
    ...(full.length > 0 ? [Prisma.sql`NOT (groups && ${full}::text[])`] : []),
    ...(quorums.length > 0 ? [Prisma.sql`(quorum IS NULL OR quorum <> ALL(${quorums}::text[]))`] : []),
  ]
  return parts.length === 0 ? Prisma.sql`TRUE` : Prisma.join(parts, ' AND ')
}

function startedBy(active: readonly Started[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of active) {
    if (row.build_id !== null && isStarted(row)) counts.set(row.build_id, (counts.get(row.build_id) ?? 0) + 1)
  }
  return counts
}

/** Due ones first, then those never tried, then those whose next try has its time: three ranges of one index. */
const ranges = [Prisma.sql`not_before <= now()`, Prisma.sql`not_before IS NULL`, Prisma.sql`not_before > now()`]

const pendingOf = (waveId: string, which: Prisma.Sql, limit: number): Prisma.Sql[] => ranges.map((when, index) => Prisma.sql`(
  SELECT id, ${index === 2 ? Prisma.sql`true` : Prisma.sql`false`} AS later FROM targets WHERE wave_id = ${waveId}::uuid AND state = 'pending' AND NOT attempt_open AND attempt_used AND ${which} AND ${when}
  ORDER BY not_before NULLS FIRST, host_name LIMIT ${limit})`)

interface Part { readonly sql: Prisma.Sql; readonly kind: Class }

function partsOf(wave: WaveView, builds: readonly BuildView[], started: ReadonlyMap<string, number>, beside: Prisma.Sql, limit: number): Part[] {
  const classes = builds.map((build) => ({ build, kind: classOf(build, wave, started) }))
  // Nothing to tell apart: one range of the wave, whatever its builds.
  if (classes.every(({ kind }) => kind === 'free')) return pendingOf(wave.id, beside, limit).map((sql) => ({ sql, kind: 'free' as const }))
  return classes.flatMap(({ build, kind }) =>
    pendingOf(wave.id, kind === 'none' ? Prisma.sql`build_id = ${build.id}::uuid` : Prisma.sql`build_id = ${build.id}::uuid AND ${beside}`, kind === 'free' ? limit : 1).map((sql) => ({ sql, kind })))
}

/**
 * Ids of the next pending targets, in the order in which they may start: at most inFlightMax of builds that may, then one of
 * each build that may not. Of a build with a start limit there is one at most.
 */
export async function nextTargets(tx: Tx, waves: readonly WaveView[], builds: readonly BuildView[], active: readonly Started[], strategy: Strategy): Promise<string[]> {
  const limit = strategy.inFlightMax
  const started = startedBy(active)
  const beside = besides(active, strategy)
  const parts = wavesAsked(waves).flatMap((wave) => partsOf(wave, builds, started, beside, limit).map((part) => ({ ...part, wave: wave.index })))
  if (parts.length === 0) return []
  const union = Prisma.join(parts.map((part) => Prisma.sql`SELECT id, later, ${part.kind} AS kind, ${part.wave}::int AS wave FROM ${part.sql} AS part`), ' UNION ALL ')
  const rows = await tx.$queryRaw<{ id: string; kind: Class; build_id: string | null }[]>`
    SELECT t.id, next.kind, t.build_id FROM (${union}) next JOIN targets t ON t.id = next.id
    ORDER BY next.later, CASE WHEN next.later THEN t.not_before END, next.wave, t.host_name`
  const seen = new Set<string>()
  const open: string[] = []
  const closed: string[] = []
  for (const row of rows) {
    if (row.kind !== 'free' && seen.size === seen.add(row.build_id ?? '').size) continue
    if (row.kind === 'none') closed.push(row.id)
    else if (open.length < limit) open.push(row.id)
  }
  return [...open, ...closed]
}
