// What one decision costs: loading the planner's view from PostgreSQL, and plan() itself, with 500 hosts in flight in
// rollouts of growing size. The curve should be flat: both cost what is in flight, never the fleet (DESIGN §3).
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { defaultStrategy, plan } from '@uptide/rollout'
import { applyMigrations, newId, openStore, startEmbedded, type Store } from '@uptide/store'
import pg from 'pg'
import { root } from '../plane.js'

const inFlight = 500
const kernels = ['5.10.0-32', '6.1.0-25', '6.12.57-1']
const by = 'token:bench'

export interface PlanFigures {
  readonly inFlight: number
  /** Milliseconds, medians; the ends of the curve are 1,000 and 100,000 targets. */
  readonly planMs1k: number; readonly planMs10k: number; readonly planMs100k: number
  readonly viewMs1k: number; readonly viewMs10k: number; readonly viewMs100k: number
  readonly planP95Ms100k: number
  readonly decisions100k: number
  readonly planRatio100kTo1k: number
}

const at = (sorted: readonly number[], part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN

async function timed(times: number, work: () => unknown): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const from = performance.now()
    await work()
    took.push(performance.now() - from)
  }
  return took.sort((a, b) => a - b)
}

/** A rollout of so many hosts in its middle: the canary has passed, half has succeeded, 500 are in flight and due. */
async function middleOf(store: Store, sql: pg.Client, size: number, credentialId: string): Promise<string> {
  const patch = await store.addPatch({ name: `fix-${size}`, title: 'fix', description: '', cves: [], severity: 'important' }, by)
  if (!patch.ok) throw new Error('the patch was not made')
  const builds: string[] = []
  for (const release of kernels) {
    const bytes = Buffer.from(`module ${size} ${release}`)
    const build = await store.addBuild({
      patchId: patch.id, patchName: `fix-${size}`, sha256: createHash('sha256').update(bytes).digest('hex'), bytes, kernelRelease: release, kernelBuildId: null, arch: 'x86_64', moduleName: 'fix',
      srcversion: 'A', moduleBuildId: null, vermagic: release, objects: [], objectsSource: 'relocations', replace: 'no', replaceSource: 'declared', rollbackRisk: { level: 'low', reasons: [] }, signature: { present: false, says: '' },
    }, by)
    if (!build.ok) throw new Error('the build was not made')
    builds.push(build.id)
  }
  const { rows: hosts } = await sql.query<{ id: string; name: string }>(`
    INSERT INTO hosts (id, name, address, port, "user", gate_mode, host_key, credential_id, kernel_release, arch, state, labels)
    SELECT gen_random_uuid(), 's${size}-' || lpad(n::text, 6, '0'), '127.0.0.1', 22, 'root', 'installed', 'k', $1, '6.12.57-1', 'x86_64', 'reachable', '{}' FROM generate_series(1, ${size}) n RETURNING id, name`, [credentialId])
  const targets = hosts.map((host, i) => ({ hostId: host.id, hostName: host.name, buildId: builds[i % builds.length] ?? '' }))
  const strategy = { ...defaultStrategy, inFlightMax: 2 * inFlight, errorsMax: 100 }
  const made = await store.createRollout({ name: `bench-${size}`, patchId: patch.id, strategy, plan: {}, start: true, skipped: [], waves: [{ canary: true, targets: targets.slice(0, 3) }, { canary: false, targets: targets.slice(3) }] }, by)
  if (!made.ok) throw new Error('the rollout was not made')
  const half = `'s${size}-' || lpad('${Math.floor(size / 2)}', 6, '0')`
  const more = `'s${size}-' || lpad('${Math.floor(size / 2) - inFlight}', 6, '0')`
  await sql.query('SET session_replication_role = replica')
  await sql.query(`UPDATE rollouts SET state = 'running' WHERE id = $1`, [made.id])
  await sql.query(`UPDATE waves SET state = CASE WHEN canary THEN 'passed' ELSE 'running' END WHERE rollout_id = $1`, [made.id])
  await sql.query(`UPDATE targets SET state = 'succeeded', touched = true WHERE rollout_id = $1 AND host_name <= ${more}`, [made.id])
  await sql.query(`UPDATE targets SET state = 'baking', touched = true, bake_until = now() WHERE rollout_id = $1 AND host_name > ${more} AND host_name <= ${half}`, [made.id])
  await sql.query('DELETE FROM wave_counts WHERE wave_id IN (SELECT id FROM waves WHERE rollout_id = $1)', [made.id])
  await sql.query('INSERT INTO wave_counts (wave_id, build_id, state, n) SELECT wave_id, build_id, state, count(*) FROM targets WHERE rollout_id = $1 GROUP BY 1, 2, 3', [made.id])
  await sql.query('SET session_replication_role = origin')
  await sql.query('UPDATE builds SET proven_at = now()')
  await sql.query('VACUUM (ANALYZE) targets')
  await sql.query('ANALYZE')
  return made.id
}

export async function planBench(): Promise<PlanFigures> {
  const dir = mkdtempSync(path.join(tmpdir(), 'uptide-plan-'))
  const postgres = await startEmbedded({ dir })
  const sql = new pg.Client({ connectionString: postgres.url })
  try {
    await applyMigrations(postgres.url, path.join(root, 'prisma/migrations'))
    await sql.connect()
    const store = await openStore({ url: postgres.url })
    try {
      const credentialId = newId()
      await store.addCredential({ id: credentialId, name: 'default', publicKey: 'ssh-ed25519 AAAA bench', sealed: new Uint8Array([1]), keyVersion: 1 }, by)
      const figures: Record<string, number> = { inFlight }
      for (const [name, size] of [['1k', 1_000], ['10k', 10_000], ['100k', 100_000]] as const) {
        const id = await middleOf(store, sql, size + (size === 1_000 ? inFlight : 0), credentialId)
        const view = await store.loadRolloutView(id)
        if (view?.active.length !== inFlight) throw new Error(`the view of ${size} targets shows ${view?.active.length} in flight`)
        const now = await store.now()
        const loads = await timed(20, () => store.loadRolloutView(id))
        const plans = await timed(200, () => plan(view, now))
        figures[`viewMs${name}`] = at(loads, 0.5)
        figures[`planMs${name}`] = at(plans, 0.5)
        figures[`planP95Ms${name}`] = at(plans, 0.95)
        figures[`decisions${name}`] = plan(view, now).decisions.length
      }
      figures['planRatio100kTo1k'] = (figures['planMs100k'] ?? 0) / (figures['planMs1k'] ?? 1)
      return figures as unknown as PlanFigures
    } finally { await store.close() }
  } finally {
    await sql.end()
    await postgres.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}
