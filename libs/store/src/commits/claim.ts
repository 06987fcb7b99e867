// The only place that grants the right to touch a host: a lease with a token that only grows.
import type { AttemptKind, Strategy, TargetState } from '@uptide/rollout'
import { type Database, type Tx, write } from '../database.js'
import type { AttemptBrief, Claim } from '../port.js'

interface BriefRow {
  kind: AttemptKind; number: number; target_id: string; state: TargetState; generation: number; touched: boolean; boot_id_before: string | null; loaded_at: Date | null
  wave_index: number | null; rollout_id: string; rollout_name: string; strategy: Strategy
  host_id: string; host_name: string; address: string; port: number; user: string; gate_mode: 'installed' | 'zero-install'; host_key: string; credential_id: string
  kernel_release: string | null; kernel_build_id: string | null; taint: number | null
  build_id: string; module_name: string; sha256: string; size_bytes: number; b_release: string; b_build_id: string | null; srcversion: string | null; module_build_id: string | null
  objects: { name: string; functions: string[] }[]
}

interface Granted { token: bigint; expires_at: Date; claimed: boolean; starts: boolean }

/**
 * Claims an ordered attempt for a worker.
 * @param owner this worker's name, unique among living workers.
 * @param leaseMs how long the claim lasts without being renewed, milliseconds by the database's clock.
 */
export async function claimAttempt(db: Database, attemptId: string, owner: string, leaseMs: number): Promise<Claim> {
  return write<Claim>(db, `worker:${owner}`, async ({ tx, emit, undo }) => {
    const [lease] = await tx.$queryRaw<Granted[]>`
      WITH lease AS (
        INSERT INTO leases AS l (host_id, owner, token, attempt_id, expires_at)
        SELECT host_id, ${owner}, 1, id, now() + ${leaseMs} * interval '1 millisecond' FROM attempts WHERE id = ${attemptId}::uuid AND state = 'ordered'
        ON CONFLICT (host_id) DO UPDATE SET owner = EXCLUDED.owner, token = l.token + 1, attempt_id = EXCLUDED.attempt_id, expires_at = EXCLUDED.expires_at
        WHERE l.attempt_id IS NULL OR l.expires_at <= now() RETURNING token, expires_at
      ), claimed AS (
        UPDATE attempts a SET state = 'running', owner = ${owner}, token = lease.token, started_at = now() FROM lease
        WHERE a.id = ${attemptId}::uuid AND a.state = 'ordered' RETURNING a.target_id, a.kind
      ), started AS (
        -- A host that holds nothing of ours may have rebooted since the last try: its boot is recorded anew.
        UPDATE targets t SET state = 'checking', since = now(), reason = NULL, generation = generation + 1, started_at = coalesce(started_at, now()),
          boot_id_before = CASE WHEN touched THEN boot_id_before END, loaded_at = CASE WHEN touched THEN loaded_at END
        FROM claimed WHERE t.id = claimed.target_id AND claimed.kind = 'apply' AND t.state = 'pending' RETURNING t.id
      )
      SELECT token, expires_at, EXISTS (SELECT 1 FROM claimed) AS claimed, EXISTS (SELECT 1 FROM started) AS starts FROM lease`
    if (!lease) return whyNot(tx, attemptId)
    if (!lease.claimed) return undo({ ok: false, why: 'gone' })
    const { starts } = lease
    const row = await briefRow(tx, attemptId)
    emit({
      kind: starts ? 'target.checking' : 'attempt.started', rolloutId: row.rollout_id, hostId: row.host_id, targetId: row.target_id,
      data: { host: row.host_name, attemptId, kind: row.kind, number: row.number, fencingToken: lease.token.toString() },
    })
    return { ok: true, brief: brief(attemptId, row, lease) }
  })
}

async function whyNot(tx: Tx, attemptId: string): Promise<Claim> {
  const attempt = await tx.attempt.findUnique({ where: { id: attemptId }, select: { state: true } })
  return { ok: false, why: attempt === null ? 'unknown-attempt' : attempt.state === 'ordered' ? 'busy' : 'gone' }
}

async function briefRow(tx: Tx, attemptId: string): Promise<BriefRow> {
  const [row] = await tx.$queryRaw<BriefRow[]>`
    SELECT a.kind, a.number, t.id AS target_id, t.state, t.generation, t.touched, t.boot_id_before, t.loaded_at, w.index AS wave_index,
      r.id AS rollout_id, r.name AS rollout_name, r.strategy, h.id AS host_id, h.name AS host_name, h.address, h.port, h."user", h.gate_mode, h.host_key, h.credential_id,
      h.kernel_release, h.kernel_build_id, h.taint, b.id AS build_id, b.module_name, b.sha256, b.size_bytes, b.kernel_release AS b_release, b.kernel_build_id AS b_build_id,
      b.srcversion, b.module_build_id, b.objects
    FROM attempts a JOIN targets t ON t.id = a.target_id JOIN rollouts r ON r.id = t.rollout_id JOIN hosts h ON h.id = t.host_id
      JOIN builds b ON b.id = t.build_id LEFT JOIN waves w ON w.id = t.wave_id WHERE a.id = ${attemptId}::uuid`
  if (!row) throw new Error(`attempt ${attemptId} has no build: a target without one must never be started`)
  return row
}

const brief = (attemptId: string, row: BriefRow, lease: { token: bigint; expires_at: Date }): AttemptBrief => ({
  attemptId, kind: row.kind, number: row.number, fencingToken: lease.token, leaseUntil: lease.expires_at.getTime(),
  target: { id: row.target_id, state: row.state, generation: row.generation, touched: row.touched, bootIdBefore: row.boot_id_before, loadedAt: row.loaded_at?.getTime() ?? null, waveIndex: row.wave_index ?? 0 },
  rollout: { id: row.rollout_id, name: row.rollout_name, strategy: row.strategy },
  host: {
    id: row.host_id, name: row.host_name, address: row.address, port: row.port, user: row.user, gateMode: row.gate_mode, hostKey: row.host_key, credentialId: row.credential_id,
    kernelRelease: row.kernel_release, kernelBuildId: row.kernel_build_id, taint: row.taint,
  },
  build: {
    id: row.build_id, moduleName: row.module_name, sha256: row.sha256, sizeBytes: row.size_bytes, kernelRelease: row.b_release, kernelBuildId: row.b_build_id,
    srcversion: row.srcversion, moduleBuildId: row.module_build_id, objects: row.objects,
  },
})

/** Extends every lease this worker still holds; an attempt that is missing in the answer is lost to it. */
export async function renewLeases(db: Database, owner: string, leaseMs: number): Promise<Set<string>> {
  const rows = await db.prisma.$queryRaw<{ attempt_id: string }[]>`
    WITH mine AS (SELECT host_id FROM leases WHERE owner = ${owner} AND attempt_id IS NOT NULL AND expires_at > now() ORDER BY host_id FOR UPDATE)
    UPDATE leases l SET expires_at = now() + ${leaseMs} * interval '1 millisecond' FROM mine WHERE l.host_id = mine.host_id AND l.attempt_id IS NOT NULL RETURNING l.attempt_id`
  return new Set(rows.map((row) => row.attempt_id))
}
