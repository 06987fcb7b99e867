// Group commit of what workers report: one transaction, one chain segment, a handful of statements for any number of reports.
import { canonicalJson, storable } from '@uptide/evidence'
import { mayMove, type Outcome, targetEdges, type TargetState } from '@uptide/rollout'
import { type Database, type Tx, write, type Writing } from '../database.js'
import type { HostFacts, Report } from '../port.js'
import { writeFacts, writeFaults } from './host-state.js'

type PhaseReport = Extract<Report, { at: 'phase' }>
type EndReport = Extract<Report, { at: 'end' }>

interface Held { attempt_id: string; target_id: string; host_id: string; rollout_id: string; host_name: string; state: TargetState; kind: string; token: bigint; boot_id_before: string | null }

/**
 * Writes reports whose worker still holds the host: attempt running, same token, lease not expired.
 * @returns for each report whether it was written. False means fenced off: stop, and do not talk to the host again.
 */
export async function commitReports(db: Database, reports: readonly Report[], owner: string): Promise<boolean[]> {
  if (reports.length === 0) return []
  const written = await write(db, `worker:${owner}`, async (writing) => {
    const done = new Set<Report>()
    for (const round of rounds(reports)) {
      const held = new Map((await lockHeld(writing.tx, round, owner)).map((row) => [row.attempt_id, row]))
      const kept = round.flatMap((report) => {
        const row = held.get(report.attemptId)
        return row ? [{ row, report }] : []
      })
      await writePhases(writing, kept.filter((one): one is { row: Held; report: PhaseReport } => one.report.at === 'phase'))
      await writeEnds(writing, kept.filter((one): one is { row: Held; report: EndReport } => one.report.at === 'end'))
      for (const { report } of kept) done.add(report)
    }
    return done
  })
  return reports.map((report) => written.has(report))
}

/** The first report of each attempt, then the second of each, and so on; nearly always one round. */
function rounds(reports: readonly Report[]): Report[][] {
  const all: Report[][] = []
  const seen = new Map<string, number>()
  for (const report of reports) {
    const nth = seen.get(report.attemptId) ?? 0
    seen.set(report.attemptId, nth + 1)
    ;(all[nth] ??= []).push(report)
  }
  return all
}

/** A reading with 64 blockers and their stacks is 20 KiB; ten times that is no honest report. */
const reportCharsMax = 200_000

/** Host text that the log cannot hold must not spoil the commit of everybody else's reports: it becomes a failure of its own. */
function storableOutcome(outcome: Outcome): Outcome {
  const clean = storable(outcome)
  try { if (canonicalJson(clean).length <= reportCharsMax) return clean } catch { /* Told below. */ }
  return { kind: 'failed', code: 'PROTOCOL', detail: 'What the host reported cannot be recorded.', touched: 'unknown' }
}

function storableFacts(facts: HostFacts | undefined): HostFacts | undefined {
  if (!facts) return undefined
  const clean = storable(facts)
  try { return canonicalJson(clean).length <= reportCharsMax ? clean : undefined } catch { return undefined }
}

const lockHeld = (tx: Tx, reports: readonly Report[], owner: string): Promise<Held[]> => tx.$queryRaw<Held[]>`
  SELECT a.id AS attempt_id, t.id AS target_id, t.host_id, t.rollout_id, t.host_name, t.state, a.kind, a.token, t.boot_id_before
  FROM jsonb_to_recordset(${JSON.stringify(reports.map((report) => ({ id: report.attemptId, token: report.fencingToken.toString() })))}::jsonb) AS x(id uuid, token bigint)
  JOIN attempts a ON a.id = x.id AND a.state = 'running' AND a.token = x.token AND a.owner = ${owner}
  JOIN leases l ON l.host_id = a.host_id AND l.token = x.token AND l.attempt_id = a.id AND l.expires_at > now()
  JOIN targets t ON t.id = a.target_id ORDER BY t.id FOR UPDATE OF a, t`

/** Where a worker may bring a target on its own word; every other state is reconcile's to give (law 1). */
const workerPhases: ReadonlySet<TargetState> = new Set(['checking', 'staging', 'loading', 'transitioning', 'reverting'])

async function writePhases({ tx, emit }: Writing, phases: readonly { row: Held; report: PhaseReport }[]): Promise<void> {
  if (phases.length === 0) return
  const rows = phases.map(({ row, report }) => {
    // A phase that is no step forward (a look at a baking host reads "checking") leaves the state alone.
    const moves = workerPhases.has(report.to) && report.to !== row.state && mayMove(targetEdges, row.state, report.to)
    const bootId = row.boot_id_before === null ? (report.bootId ?? null) : null
    return { attemptId: row.attempt_id, targetId: row.target_id, to: moves ? report.to : row.state, moves, step: storable(report.step), touched: report.touched === true, bootId: storable(bootId) }
  })
  await tx.$executeRaw`UPDATE attempts a SET step = x.step FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x("attemptId" uuid, step text) WHERE a.id = x."attemptId"`
  await tx.$executeRaw`
    UPDATE targets t SET state = x."to", generation = t.generation + 1, since = CASE WHEN x.moves THEN now() ELSE t.since END,
      touched = t.touched OR x.touched, boot_id_before = coalesce(t.boot_id_before, x."bootId"), loaded_at = CASE WHEN x.touched THEN coalesce(t.loaded_at, now()) ELSE t.loaded_at END
    FROM jsonb_to_recordset(${JSON.stringify(rows.filter((row) => row.moves || row.touched || row.bootId !== null))}::jsonb) AS x("targetId" uuid, "to" text, moves boolean, touched boolean, "bootId" text) WHERE t.id = x."targetId"`
  phases.forEach(({ row }, index) => {
    const { to, moves, step } = rows[index] ?? { to: row.state, moves: false, step: '' }
    if (moves) emit({ kind: `target.${to}`, rolloutId: row.rollout_id, hostId: row.host_id, targetId: row.target_id, data: { host: row.host_name, from: row.state, to, step, attemptId: row.attempt_id } })
  })
}

const readingOf = (outcome: Outcome) => ('reading' in outcome ? outcome.reading : null)

async function writeEnds(writing: Writing, reported: readonly { row: Held; report: EndReport }[]): Promise<void> {
  if (reported.length === 0) return
  const { tx, emit } = writing
  const ends = reported.map(({ row, report }) => ({ row, report: { step: storable(report.step), outcome: storableOutcome(report.outcome), facts: storableFacts(report.facts) } }))
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
  await writeFaults(writing, ends.flatMap(({ row, report: { outcome } }) => (outcome.kind === 'failed' ? [{ hostId: row.host_id, host: row.host_name, rolloutId: row.rollout_id, code: outcome.code, says: outcome.detail }] : [])))
  await writeFacts(tx, ends.flatMap(({ row, report }) => (report.facts ? [{ hostId: row.host_id, facts: report.facts }] : [])))
  for (const { row, report: { outcome, step } } of ends) emit({ kind: 'attempt.ended', rolloutId: row.rollout_id, hostId: row.host_id, targetId: row.target_id, data: { host: row.host_name, attemptId: row.attempt_id, kind: row.kind, step, outcome } })
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
