// One checker for every crash test (reference: reliability goals I1-I9): from Postgres's history and each host's own journal.
import { edgeTables, mayMove, type TargetState } from '@uptide/rollout'
import pg from 'pg'
import type { Effect } from './bench.js'

interface EventRow { seq: string; kind: string; target_id: string | null; data: { from?: string; to?: string; attemptId?: string } }

export interface Checked { readonly faults: string[]; readonly loads: number; readonly events: number }

/**
 * @param inFlightMax the strategy's limit, checked at every event.
 * @param settledOnly false while a rollout is meant to be under way still.
 */
export async function checkInvariants(databaseUrl: string, effects: readonly Effect[], inFlightMax: number): Promise<Checked> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const faults: string[] = []
    const { rows: events } = await client.query<EventRow>('SELECT seq::text, kind, target_id, data FROM events ORDER BY events.seq')
    checkChainOrder(events, faults)
    checkEdges(events, faults)
    checkInFlight(events, inFlightMax, faults)
    checkEffects(effects, faults)
    await checkNothingLeft(client, faults)
    return { faults, loads: effects.filter((one) => one.verb === 'load' && one.result === 'ok').length, events: events.length }
  } finally { await client.end() }
}

/** I4: no gap. (That the hashes fit is asked of the server itself.) */
function checkChainOrder(events: readonly EventRow[], faults: string[]): void {
  events.forEach((event, index) => { if (event.seq !== String(index + 1)) faults.push(`I4: event ${index + 1} is missing`) })
}

/** I8: only legal edges, and each starts where the last one ended. */
function checkEdges(events: readonly EventRow[], faults: string[]): void {
  const states = new Map<string, string>()
  for (const { kind, target_id: target, data, seq } of events) {
    if (!kind.startsWith('target.') || target === null) continue
    const to = kind.slice('target.'.length) as TargetState
    const from = (states.get(target) ?? 'pending') as TargetState
    if (data.from !== undefined && data.from !== from) faults.push(`I8: event ${seq} says from ${data.from}, and the target was ${from}`)
    if (from !== to && !mayMove(edgeTables.target, from, to)) faults.push(`I8: event ${seq} moves a target from ${from} to ${to}`)
    states.set(target, to)
  }
}

/** I5: open attempts never exceed the limit, at any moment of the history. */
function checkInFlight(events: readonly EventRow[], max: number, faults: string[]): void {
  const open = new Set<string>()
  for (const { kind, data, seq } of events) {
    if (data.attemptId === undefined) continue
    if (kind === 'attempt.ordered') open.add(data.attemptId)
    if (kind === 'attempt.ended' || kind === 'attempt.abandoned') open.delete(data.attemptId)
    if (open.size > max) { faults.push(`I5: ${open.size} attempts are open at event ${seq}, and ${max} are allowed`); return }
  }
}

/** I2: at most one effective load on a host until it was unloaded; I3: no host ever took a token lower than one it had seen. */
function checkEffects(effects: readonly Effect[], faults: string[]): void {
  const loaded = new Map<string, string>()
  const floors = new Map<string, bigint>()
  for (const one of effects) {
    const token = BigInt(one.token)
    if (token < (floors.get(one.host) ?? 0n)) faults.push(`I3: ${one.host} obeyed token ${token} after ${floors.get(one.host)}`)
    floors.set(one.host, token > (floors.get(one.host) ?? 0n) ? token : (floors.get(one.host) ?? 0n))
    const key = `${one.host} ${one.args[0] ?? ''}`
    if (one.verb === 'load' && one.result === 'ok') {
      if (loaded.get(key) === one.bootId) faults.push(`I2: ${key} was loaded twice in one boot`)
      loaded.set(key, one.bootId)
    }
    if (one.verb === 'unload' && one.result === 'ok') loaded.delete(key)
  }
}

/** I1: nothing is open, leased or unused at the end. */
async function checkNothingLeft(client: pg.Client, faults: string[]): Promise<void> {
  const count = async (what: string, sql: string): Promise<void> => {
    const { rows } = await client.query<{ n: number }>(sql)
    if ((rows[0]?.n ?? 0) > 0) faults.push(`I1: ${rows[0]?.n} ${what}`)
  }
  await count('attempts are still open', "SELECT count(*)::int AS n FROM attempts WHERE state IN ('ordered', 'running')")
  await count('leases are still held', 'SELECT count(*)::int AS n FROM leases WHERE attempt_id IS NOT NULL')
  await count('outcomes were never used', 'SELECT count(*)::int AS n FROM targets WHERE attempt_open OR NOT attempt_used')
  await count('wave counts are wrong', `SELECT count(*)::int AS n FROM (SELECT wave_id, build_id, state, count(*)::int AS n FROM targets WHERE wave_id IS NOT NULL GROUP BY 1, 2, 3) t
    FULL JOIN (SELECT wave_id, build_id, state, n FROM wave_counts WHERE n <> 0) c USING (wave_id, build_id, state) WHERE t.n IS DISTINCT FROM c.n`)
}
