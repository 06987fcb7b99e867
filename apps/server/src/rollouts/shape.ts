// Rollouts and targets as the API shows them.
import type { Rollout, Target } from '@uptide/contracts/api'
import type { RolloutRow, TargetRow } from '@uptide/store'

const reasonOf = (value: unknown): { code: string; says: string } | null => {
  const { code, says } = (value ?? {}) as { code?: unknown; says?: unknown }
  return typeof code === 'string' && typeof says === 'string' ? { code, says } : null
}

export function rolloutShape(row: RolloutRow): Rollout {
  const counts: Record<string, number> = {}
  for (const wave of row.waves) for (const [state, n] of Object.entries(wave.counts)) counts[state] = (counts[state] ?? 0) + n
  const skipped = (row.plan as { skippedHosts?: number } | null)?.skippedHosts ?? 0
  if (skipped > 0) counts['skipped'] = (counts['skipped'] ?? 0) + skipped
  return {
    id: row.id, name: row.name, kind: row.kind as Rollout['kind'], patch: row.patch, state: row.state, reason: reasonOf(row.reason), strategy: row.strategy as Rollout['strategy'],
    waves: row.waves.map((wave) => ({ id: wave.id, index: wave.index, canary: wave.canary, state: wave.state, hosts: wave.hosts, counts: { ...wave.counts } as Record<string, number> })),
    builds: row.builds.map((build) => ({ id: build.id, kernelRelease: build.kernel, counts: { ...build.counts } as Record<string, number>, proven: build.proven, stopped: reasonOf(build.stopped), halted: reasonOf(build.halted) })),
    hosts: row.waves.reduce((sum, wave) => sum + wave.hosts, 0), counts,
    planHash: (row.plan as { planHash?: string } | null)?.planHash ?? null,
    approvals: row.approvals.map((one) => ({ ...one, at: one.at.toISOString(), expiresAt: one.expiresAt.toISOString() })),
    createdAt: row.createdAt.toISOString(), createdBy: row.createdBy, startedAt: row.startedAt?.toISOString() ?? null, endedAt: row.endedAt?.toISOString() ?? null,
  }
}

export const targetShape = (row: TargetRow): Omit<Target, 'waitingOn'> => ({
  id: row.id, rolloutId: row.rolloutId, hostId: row.hostId, host: row.hostName, wave: row.wave?.index ?? 0, state: row.state as Target['state'], reason: reasonOf(row.reason),
  kernelRelease: row.host.kernelRelease, buildId: row.buildId, tries: row.tries, progress: row.progress as Target['progress'], blockers: row.blockers as Target['blockers'],
  transitionMs: row.transitionMs, bootIdBefore: row.bootIdBefore, bootIdAfter: row.bootIdAfter, startedAt: row.startedAt?.toISOString() ?? null, settledAt: row.settledAt?.toISOString() ?? null,
})
