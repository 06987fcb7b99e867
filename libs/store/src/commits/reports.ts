// Group commit of what workers report: one transaction, one chain segment, a handful of statements for any number of reports.
import { mayMove, type Outcome, targetEdges, type TargetState } from '@uptide/rollout'
import { type Database, type Tx, write, type Writing } from '../database.js'
import type { HostFacts, Report } from '../port.js'

type PhaseReport = Extract<Report, { at: 'phase' }>
type EndReport = Extract<Report, { at: 'end' }>

interface Held { attempt_id: string; target_id: string; host_id: string; rollout_id: string; host_name: string; state: TargetState; kind: string; token: bigint; boot_id_before: string | null }

/**
 * Writes reports whose worker still holds the host: attempt running, same token, lease not expired.
 * @returns for each report whether it was written. False means fenced off: stop, and do not talk to the host again.
 */
export async function commitReports(db: Database, reports: readonly Report[], owner: string): Promise<boolean[]> {
  if (reports.length === 0) return []
  const held = await write(db, `worker:${owner}`, async (writing) => {
    const rows = await lockHeld(writing.tx, reports, owner)
    const byAttempt = new Map(rows.map((row) => [row.attempt_id, row]))
    const of = <K extends Report['at']>(at: K) => reports.flatMap((report) => {
      const row = byAttempt.get(report.attemptId)
      return report.at === at && row ? [{ row, report: report as Extract<Report, { at: K }> }] : []
    })
    await writePhases(writing, of('phase'))
    await writeEnds(writing, of('end'))
    return byAttempt
  })
  return reports.map((report) => held.has(report.attemptId))
}

const lockHeld = (tx: Tx, reports: readonly Report[], owner: string): Promise<Held[]> => tx.$queryRaw<Held[]>`
  SELECT a.id AS attempt_id, t.id AS target_id, t.host_id, t.rollout_id, t.host_name, t.state, a.kind, a.token, t.boot_id_before
  FROM jsonb_to_recordset(${JSON.stringify(reports.map((report) => ({ id: report.attemptId, token: report.fencingToken.toString() })))}::jsonb) AS x(id uuid, token bigint)
  JOIN attempts a ON a.id = x.id AND a.state = 'running' AND a.token = x.token AND a.owner = ${owner}
  JOIN leases l ON l.host_id = a.host_id AND l.token = x.token AND l.attempt_id = a.id AND l.expires_at > now()
  JOIN targets t ON t.id = a.target_id ORDER BY t.id FOR UPDATE OF a, t`

async function writePhases({ tx, emit }: Writing, phases: readonly { row: Held; report: PhaseReport }[]): Promise<void> {
  if (phases.length === 0) return
  const rows = phases.map(({ row, report }) => {
    // A phase that is no step forward (a look at a baking host reads "checking") leaves the state alone.
    const moves = report.to !== row.state && mayMove(targetEdges, row.state, report.to)
    return { attemptId: row.attempt_id, targetId: row.target_id, to: moves ? report.to : row.state, moves, step: report.step, touched: report.touched === true, bootId: report.bootId ?? null }
  })
  await tx.$executeRaw`UPDATE attempts a SET step = x.step FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x("attemptId" uuid, step text) WHERE a.id = x."attemptId"`
  await tx.$executeRaw`
    UPDATE targets t SET state = x."to", generation = t.generation + 1, since = CASE WHEN x.moves THEN now() ELSE t.since END,
      touched = t.touched OR x.touched, boot_id_before = coalesce(t.boot_id_before, x."bootId"), loaded_at = CASE WHEN x.touched THEN coalesce(t.loaded_at, now()) ELSE t.loaded_at END
    FROM jsonb_to_recordset(${JSON.stringify(rows.filter((row) => row.moves || row.touched))}::jsonb) AS x("targetId" uuid, "to" text, moves boolean, touched boolean, "bootId" text) WHERE t.id = x."targetId"`
  phases.forEach(({ row }, index) => {
    const { to, moves, step } = rows[index] ?? { to: row.state, moves: false, step: '' }
    if (moves) emit({ kind: `target.${to}`, rolloutId: row.rollout_id, hostId: row.host_id, targetId: row.target_id, data: { host: row.host_name, from: row.state, to, step, attemptId: row.attempt_id } })
  })
}

const readingOf = (outcome: Outcome) => ('reading' in outcome ? outcome.reading : null)

async function writeEnds({ tx, emit }: Writing, ends: readonly { row: Held; report: EndReport }[]): Promise<void> {
  if (ends.length === 0) return
  const rows = ends.map(({ row, report: { outcome, step } }) => ({
    attemptId: row.attempt_id, targetId: row.target_id, hostId: row.host_id, token: row.token.toString(), step, outcome,
    transitionMs: outcome.kind === 'patched' && !outcome.already ? outcome.transitionMs : null,
    bootIdAfter: readingOf(outcome)?.bootId ?? (outcome.kind === 'rebooted' ? outcome.bootIdAfter : null),
    bootIdBefore: row.boot_id_before ?? (outcome.kind === 'patched' ? outcome.reading.bootId : null),
    blockers: outcome.kind === 'stalled' ? outcome.blockers : null,
  }))
  const json = JSON.stringify(rows)
  await tx.$executeRaw`
    UPDATE attempts a SET state = 'done', outcome = x.outcome, step = x.step, ended_at = now()
    FROM jsonb_to_recordset(${json}::jsonb) AS x("attemptId" uuid, step text, outcome jsonb) WHERE a.id = x."attemptId"`
  await tx.$executeRaw`
    UPDATE targets t SET attempt_open = false, attempt_used = false, generation = t.generation + 1,
      transition_ms = coalesce(x."transitionMs", t.transition_ms), boot_id_after = coalesce(x."bootIdAfter", t.boot_id_after), boot_id_before = coalesce(t.boot_id_before, x."bootIdBefore"),
      blockers = CASE WHEN x.blockers IS NULL OR x.blockers = 'null'::jsonb THEN t.blockers ELSE x.blockers END
    FROM jsonb_to_recordset(${json}::jsonb) AS x("targetId" uuid, "transitionMs" float8, "bootIdAfter" text, "bootIdBefore" text, blockers jsonb) WHERE t.id = x."targetId"`
  // The lease stays as a row: its token is the floor for the next one.
  await tx.$executeRaw`
    UPDATE leases l SET attempt_id = NULL, expires_at = now() FROM jsonb_to_recordset(${json}::jsonb) AS x("hostId" uuid, "attemptId" uuid) WHERE l.host_id = x."hostId" AND l.attempt_id = x."attemptId"`
  await writeFacts(tx, ends.flatMap(({ row, report }) => (report.facts ? [{ hostId: row.host_id, facts: report.facts }] : [])))
  for (const { row, report: { outcome, step } } of ends) emit({ kind: 'attempt.ended', rolloutId: row.rollout_id, hostId: row.host_id, targetId: row.target_id, data: { host: row.host_name, attemptId: row.attempt_id, kind: row.kind, step, outcome } })
}

/** What hosts said of themselves, set-based. Their state becomes reachable, unless a person quarantined them. */
export async function writeFacts(tx: Tx, rows: readonly { hostId: string; facts: HostFacts }[]): Promise<void> {
  if (rows.length === 0) return
  await tx.$executeRaw`
    UPDATE hosts h SET kernel_release = x.facts->>'kernelRelease', kernel_build_id = x.facts->>'kernelBuildId', arch = x.facts->>'arch', boot_id = x.facts->>'bootId',
      mechanism = x.facts->>'mechanism', features = x.facts->'features', taint = (x.facts->>'taint')::int, loaded = x.facts->'loaded', facts_at = now(),
      state = CASE WHEN h.state = 'quarantined' THEN h.state ELSE 'reachable' END, reason = CASE WHEN h.state = 'quarantined' THEN h.reason ELSE NULL END
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x("hostId" uuid, facts jsonb) WHERE h.id = x."hostId"`
}

/** Longest curve kept for a target: a point a second for two minutes; later points take the place of the last. */
const curvePointsMax = 120

export async function noteProgress(db: Database, rows: readonly { readonly targetId: string; readonly progress: { moved: number; all: number; transitionAgeMs: number; at: number } }[]): Promise<void> {
  if (rows.length === 0) return
  const touched = await db.prisma.$queryRaw<{ rollout_id: string }[]>`
    UPDATE targets t SET progress = x.progress,
      curve = CASE WHEN jsonb_array_length(t.curve) < ${curvePointsMax} THEN t.curve ELSE t.curve - (${curvePointsMax - 1})::int END || jsonb_build_array(jsonb_build_array(x.progress->'transitionAgeMs', x.progress->'moved', x.progress->'all'))
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x("targetId" uuid, progress jsonb) WHERE t.id = x."targetId" RETURNING t.rollout_id`
  for (const rolloutId of new Set(touched.map((row) => row.rollout_id))) await db.prisma.$executeRaw`SELECT pg_notify('uptide_progress', ${rolloutId})`
}
