// The store as the rest of Uptide holds it: one object, every question and every commit.
import { applyMigrations } from './migrate/apply.js'
import * as approvals from './commits/approvals.js'
import * as claim from './commits/claim.js'
import * as halts from './commits/halts.js'
import * as hosts from './commits/hosts.js'
import * as operator from './commits/operator.js'
import * as overrides from './commits/overrides.js'
import * as pacing from './commits/pacing.js'
import * as patches from './commits/patches.js'
import * as plan from './commits/plan.js'
import * as reports from './commits/reports.js'
import { Coalescer } from './coalesce.js'
import { type Database, listen, openDatabase } from './database.js'
import type { Claim, ExecuteStore, ReconcileStore } from './port.js'
import * as catalogue from './views/catalogue.js'
import * as events from './views/events.js'
import * as haltViews from './views/halts.js'
import * as rolloutView from './views/rollout-view.js'
import { fleetLimit } from './views/room.js'

const questionsAndCommits = { ...approvals, ...claim, ...halts, ...haltViews, ...hosts, ...operator, ...overrides, ...pacing, fleetLimit, ...patches, ...plan, ...reports, ...catalogue, ...events, ...rolloutView }

type Bound<T> = { readonly [K in keyof T]: T[K] extends (db: Database, ...args: infer A) => infer R ? (...args: A) => R : never }

export interface Store extends Bound<typeof questionsAndCommits> {
  /** Claims one attempt; claims that are asked for at the same time share a transaction. */
  claimAttempt(attemptId: string, owner: string, leaseMs: number): Promise<Claim>
  /** The database's clock, milliseconds since the epoch. */
  now(): Promise<number>
  /** Wakes on new events and on progress; also after every reconnect. Answers how to stop. */
  listen(wake: (channel: 'uptide_events' | 'uptide_progress', payload: string) => void): () => Promise<void>
  close(): Promise<void>
}

/** Connections of one process: reconcile, reports, claims and the API at once; 120 in all on the embedded server. */
const poolMaxDefault = 12

/**
 * Opens the store. With `migrations` its schema is brought up to date first.
 * @throws when acknowledged commits could be lost: synchronous_commit must be on.
 */
export async function openStore({ url, migrations, poolMax = poolMaxDefault }: { url: string; migrations?: string; poolMax?: number }): Promise<Store> {
  if (migrations !== undefined) await applyMigrations(url, migrations)
  const db = openDatabase(url, poolMax)
  const [row] = await db.prisma.$queryRaw<{ setting: string }[]>`SELECT current_setting('synchronous_commit') AS setting`
  if (row?.setting === 'off' || row?.setting === 'local') {
    await db.close()
    throw new Error(`The database has synchronous_commit = ${row.setting}: an acknowledged step could be lost, and a host be patched twice. Set it to on.`)
  }
  const bound = Object.fromEntries(Object.entries(questionsAndCommits).map(([name, run]) => [name, (...args: unknown[]) => (run as (db: Database, ...args: unknown[]) => unknown)(db, ...args)]))
  const store: Store = {
    ...(bound as unknown as Bound<typeof questionsAndCommits>),
    claimAttempt: coalescedClaims(db),
    now: () => rolloutView.databaseNow(db),
    listen: (wake) => listen(url, ['uptide_events', 'uptide_progress'], wake as (channel: string, payload: string) => void),
    close: () => db.close(),
  }
  return store satisfies ReconcileStore & ExecuteStore
}

/** One coalescer for each worker that claims through this store: in practice one. */
function coalescedClaims(db: Database): Store['claimAttempt'] {
  const byWorker = new Map<string, Coalescer<string, Claim>>()
  return (attemptId, owner, leaseMs) => {
    const key = `${leaseMs} ${owner}`
    let coalescer = byWorker.get(key)
    if (!coalescer) {
      coalescer = new Coalescer(async (ids) => {
        // The same id twice in one batch: the second asker is told that it is gone.
        const claims = new Map([...new Set(ids)].map((id) => [id, null as Claim | null]))
        const answers = await claim.claimAttempts(db, [...claims.keys()], owner, leaseMs)
        ;[...claims.keys()].forEach((id, index) => claims.set(id, answers[index] ?? null))
        return ids.map((id) => {
          const answer = claims.get(id)
          if (answer?.ok) claims.set(id, { ok: false, why: 'gone' })
          return answer ?? { ok: false, why: 'unknown-attempt' }
        })
      })
      byWorker.set(key, coalescer)
    }
    return coalescer.ask(attemptId)
  }
}
