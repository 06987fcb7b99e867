// The only place that grants the right to touch a host: a lease with a token that only grows.
import type { AttemptKind, Strategy, TargetState } from '@uptide/rollout'
import { type Database, type Tx, write, type Writing } from '../database.js'
import { Prisma } from '../generated/client.js'
import type { AttemptBrief, Claim } from '../port.js'

interface Granted { attempt_id: string; token: bigint; expires_at: Date; starts: boolean }

interface BriefRow {
  attempt_id: string; kind: AttemptKind; number: number
  target_id: string; state: TargetState; generation: number; touched: boolean; boot_id_before: string | null; loaded_at: Date | null; wave_index: number | null
  rollout_id: string; rollout_name: string; strategy: Strategy
  host_id: string; host_name: string; address: string; port: number; user: string; gate_mode: 'installed' | 'zero-install'; host_key: string; credential_id: string
  kernel_release: string | null; kernel_build_id: string | null; taint: number | null
  build_id: string; module_name: string; sha256: string; size_bytes: number; b_release: string; b_build_id: string | null
  srcversion: string | null; module_build_id: string | null; objects: { name: string; functions: string[] }[]
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A hold, a cancel, a revert, a stopped build or a halted artefact is obeyed by attempts that were ordered before it and have not begun: nothing new starts. */
const startsWhileStopped = Prisma.sql`(a.kind = 'apply' AND t.state = 'pending' AND (r.state <> 'running'
  OR EXISTS (SELECT 1 FROM rollout_builds rb WHERE rb.rollout_id = t.rollout_id AND rb.build_id = t.build_id AND rb.stopped IS NOT NULL)
  OR EXISTS (SELECT 1 FROM halts h JOIN builds b ON b.sha256 = h.sha256 WHERE b.id = t.build_id AND h.released_at IS NULL)))`

/**
 * Claims ordered attempts for one worker, all in one transaction; each is granted or refused by itself.
 * @param attemptIds what the queue said: anything, as far as we know. Each at most once.
 * @param owner this worker's name, unique among living workers.
 * @param leaseMs how long a claim lasts without being renewed, milliseconds by the database's clock.
 */
export async function claimAttempts(db: Database, attemptIds: readonly string[], owner: string, leaseMs: number): Promise<Claim[]> {
  const asked = attemptIds.filter((id) => uuid.test(id))
  const claims = await write(db, `worker:${owner}`, async (writing) => {
    const granted = await grant(writing.tx, asked, owner, leaseMs)
    const briefs = await loadBriefs(writing.tx, granted.map((one) => one.attempt_id))
    const made = new Map<string, Claim>()
    for (const lease of granted) {
      const row = briefs.get(lease.attempt_id)
      if (!row) throw new Error(`attempt ${lease.attempt_id} has no build: a target without one must never be started`)
      tell(writing, row, lease)
      made.set(lease.attempt_id, { ok: true, brief: brief(row, lease) })
    }
    const refused = await whyNot(writing.tx, asked.filter((id) => !made.has(id)))
    return new Map([...made, ...refused])
  })
  return attemptIds.map((id) => claims.get(id) ?? { ok: false, why: 'unknown-attempt' })
}

function tell({ emit }: Writing, row: BriefRow, lease: Granted): void {
  emit({
    kind: lease.starts ? 'target.checking' : 'attempt.started', rolloutId: row.rollout_id, hostId: row.host_id, targetId: row.target_id,
    data: {
      host: row.host_name, attemptId: row.attempt_id, kind: row.kind, number: row.number, fencingToken: lease.token.toString(),
      ...(lease.starts ? { from: 'pending', to: 'checking' } : {}),
    },
  })
}

/** Locks in the order of group commits: attempts and targets by target, then leases by host. */
async function grant(tx: Tx, attemptIds: readonly string[], owner: string, leaseMs: number): Promise<Granted[]> {
  if (attemptIds.length === 0) return []
  const open = await tx.$queryRaw<{ id: string }[]>`
    SELECT a.id FROM attempts a JOIN targets t ON t.id = a.target_id JOIN rollouts r ON r.id = t.rollout_id
    WHERE a.id = ANY(${[...attemptIds]}::uuid[]) AND a.state = 'ordered' AND NOT ${startsWhileStopped} ORDER BY t.id FOR NO KEY UPDATE OF a, t`
  if (open.length === 0) return []
  return tx.$queryRaw<Granted[]>`
    WITH lease AS (
      INSERT INTO leases AS l (host_id, owner, token, attempt_id, expires_at)
      SELECT host_id, ${owner}, 1, id, now() + ${leaseMs} * interval '1 millisecond' FROM attempts WHERE id = ANY(${open.map((row) => row.id)}::uuid[]) ORDER BY host_id
      ON CONFLICT (host_id) DO UPDATE SET owner = EXCLUDED.owner, token = l.token + 1, attempt_id = EXCLUDED.attempt_id, expires_at = EXCLUDED.expires_at
      WHERE l.attempt_id IS NULL OR l.expires_at <= now() RETURNING attempt_id, token, expires_at
    ), claimed AS (
      UPDATE attempts a SET state = 'running', owner = ${owner}, token = lease.token, started_at = now() FROM lease WHERE a.id = lease.attempt_id RETURNING a.id, a.target_id, a.kind
    ), started AS (
      -- A host that holds nothing of ours may have rebooted since the last try: its boot is recorded anew.
      UPDATE targets t SET state = 'checking', since = now(), reason = NULL, generation = generation + 1, started_at = coalesce(started_at, now()),
        boot_id_before = CASE WHEN touched THEN boot_id_before END, loaded_at = CASE WHEN touched THEN loaded_at END
      FROM claimed WHERE t.id = claimed.target_id AND claimed.kind = 'apply' AND t.state = 'pending' RETURNING claimed.id
    )
    SELECT attempt_id, token, expires_at, attempt_id IN (SELECT id FROM started) AS starts FROM lease`
}

async function whyNot(tx: Tx, attemptIds: readonly string[]): Promise<[string, Claim][]> {
  if (attemptIds.length === 0) return []
  const rows = await tx.$queryRaw<{ id: string; state: string; held: boolean }[]>`
    SELECT a.id, a.state, ${startsWhileStopped} AS held FROM attempts a JOIN targets t ON t.id = a.target_id JOIN rollouts r ON r.id = t.rollout_id
    WHERE a.id = ANY(${[...attemptIds]}::uuid[])`
  return rows.map((row) => [row.id, { ok: false, why: row.state !== 'ordered' ? 'gone' : row.held ? 'held' : 'busy' }])
}

async function loadBriefs(tx: Tx, attemptIds: readonly string[]): Promise<ReadonlyMap<string, BriefRow>> {
  if (attemptIds.length === 0) return new Map()
  const rows = await tx.$queryRaw<BriefRow[]>`
    SELECT a.id AS attempt_id, a.kind, a.number,
      t.id AS target_id, t.state, t.generation, t.touched, t.boot_id_before, t.loaded_at, w.index AS wave_index,
      r.id AS rollout_id, r.name AS rollout_name, r.strategy,
      h.id AS host_id, h.name AS host_name, h.address, h.port, h."user", h.gate_mode, h.host_key, h.credential_id, h.kernel_release, h.kernel_build_id, h.taint,
      b.id AS build_id, b.module_name, b.sha256, b.size_bytes, b.kernel_release AS b_release, b.kernel_build_id AS b_build_id, b.srcversion, b.module_build_id, b.objects
    FROM attempts a JOIN targets t ON t.id = a.target_id JOIN rollouts r ON r.id = t.rollout_id JOIN hosts h ON h.id = t.host_id
      JOIN builds b ON b.id = t.build_id LEFT JOIN waves w ON w.id = t.wave_id WHERE a.id = ANY(${[...attemptIds]}::uuid[])`
  return new Map(rows.map((row) => [row.attempt_id, row]))
}

const brief = (row: BriefRow, lease: Granted): AttemptBrief => ({
  attemptId: row.attempt_id, kind: row.kind, number: row.number, fencingToken: lease.token, leaseUntil: lease.expires_at.getTime(),
  target: {
    id: row.target_id, state: row.state, generation: row.generation, touched: row.touched, bootIdBefore: row.boot_id_before,
    loadedAt: row.loaded_at?.getTime() ?? null, waveIndex: row.wave_index ?? 0,
  },
  rollout: { id: row.rollout_id, name: row.rollout_name, strategy: row.strategy },
  host: {
    id: row.host_id, name: row.host_name, address: row.address, port: row.port, user: row.user, gateMode: row.gate_mode, hostKey: row.host_key,
    credentialId: row.credential_id, kernelRelease: row.kernel_release, kernelBuildId: row.kernel_build_id, taint: row.taint,
  },
  build: {
    id: row.build_id, moduleName: row.module_name, sha256: row.sha256, sizeBytes: row.size_bytes, kernelRelease: row.b_release, kernelBuildId: row.b_build_id,
    srcversion: row.srcversion, moduleBuildId: row.module_build_id, objects: row.objects,
  },
})

/**
 * Extends the leases this worker still holds: all of them, or those of some attempts. An attempt that is missing in the
 * answer is lost to it. A lease that has run out is extended by nobody.
 */
export async function renewLeases(db: Database, owner: string, leaseMs: number, attemptIds: readonly string[] | null = null): Promise<Set<string>> {
  const which = attemptIds === null ? Prisma.sql`attempt_id IS NOT NULL` : Prisma.sql`attempt_id = ANY(${[...attemptIds]}::uuid[])`
  const rows = await db.prisma.$queryRaw<{ attempt_id: string }[]>`
    WITH mine AS (SELECT host_id FROM leases WHERE owner = ${owner} AND ${which} AND expires_at > now() ORDER BY host_id FOR UPDATE)
    UPDATE leases l SET expires_at = now() + ${leaseMs} * interval '1 millisecond' FROM mine WHERE l.host_id = mine.host_id AND l.attempt_id IS NOT NULL RETURNING l.attempt_id`
  return new Set(rows.map((row) => row.attempt_id))
}

/** Lets leases run out at once. The attempts stay running: reconcile sees that nobody holds them and decides. */
export async function releaseLeases(db: Database, owner: string, attemptIds: readonly string[]): Promise<void> {
  if (attemptIds.length === 0) return
  await db.prisma.$executeRaw`
    WITH mine AS (SELECT host_id FROM leases WHERE owner = ${owner} AND attempt_id = ANY(${[...attemptIds]}::uuid[]) AND expires_at > now() ORDER BY host_id FOR UPDATE)
    UPDATE leases l SET expires_at = now() FROM mine WHERE l.host_id = mine.host_id`
}
