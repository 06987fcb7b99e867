// What an attempt or a probe tells about the host itself.
import type { Tx, Writing } from '../database.js'
import type { HostFacts } from '../port.js'

/** What hosts said of themselves, set-based. Their state becomes reachable, unless a person quarantined them. */
export async function writeFacts(tx: Tx, rows: readonly { hostId: string; facts: HostFacts }[]): Promise<void> {
  if (rows.length === 0) return
  await tx.$executeRaw`
    UPDATE hosts h SET kernel_release = x.facts->>'kernelRelease', kernel_build_id = x.facts->>'kernelBuildId', arch = x.facts->>'arch', boot_id = x.facts->>'bootId',
      mechanism = x.facts->>'mechanism', features = x.facts->'features', taint = (x.facts->>'taint')::int, loaded = x.facts->'loaded', facts_at = now(),
      state = CASE WHEN h.state = 'quarantined' THEN h.state ELSE 'reachable' END, reason = CASE WHEN h.state = 'quarantined' THEN h.reason ELSE NULL END
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x("hostId" uuid, facts jsonb) WHERE h.id = x."hostId"`
}

/** Failures that speak of the host, not of the patch. A changed key is no outage: a person must look before it is touched again. */
const stateAfter: Readonly<Record<string, 'unreachable' | 'quarantined'>> = {
  UNREACHABLE: 'unreachable', CONNECT_TIMEOUT: 'unreachable', AUTH_FAILED: 'unreachable', CHANNEL_REFUSED: 'unreachable',
  HOST_KEY_CHANGED: 'quarantined',
}

interface HostFault { readonly hostId: string; readonly host: string; readonly rolloutId?: string; readonly code: string; readonly says: string }

/** Hosts that could not be reached as they should; one event for each whose state changes. A quarantine is lifted by a person only. */
export async function writeFaults({ tx, emit }: Writing, faults: readonly HostFault[]): Promise<void> {
  const rows = faults.flatMap((fault) => {
    const state = stateAfter[fault.code]
    return state === undefined ? [] : [{ hostId: fault.hostId, state, reason: { code: fault.code, says: fault.says } }]
  })
  if (rows.length === 0) return
  const changed = await tx.$queryRaw<{ id: string }[]>`
    UPDATE hosts h SET state = x.state, reason = x.reason FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x("hostId" uuid, state text, reason jsonb)
    WHERE h.id = x."hostId" AND h.state NOT IN (x.state, 'quarantined') RETURNING h.id`
  for (const { id } of changed) {
    const fault = faults.find((one) => one.hostId === id)
    const row = rows.find((one) => one.hostId === id)
    emit({ kind: `host.${row?.state}`, hostId: id, rolloutId: fault?.rolloutId, data: { host: fault?.host, reason: row?.reason } })
  }
}
