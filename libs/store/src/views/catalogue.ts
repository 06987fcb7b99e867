// Questions of the API: hosts, patches, rollouts, targets. Pages follow keys.
import type { RolloutState, Strategy, TargetState, WaveState } from '@uptide/rollout'
import type { Database } from '../database.js'
import { type Page, type Paged, paged } from './page.js'
import { Prisma } from '../generated/client.js'


const withCredential = { credential: { select: { name: true } } } as const
export type HostRow = Prisma.HostGetPayload<{ include: typeof withCredential }>

export interface HostFilter { readonly labels?: Readonly<Record<string, string>>; readonly kernel?: string; readonly state?: string; readonly names?: readonly string[] }

const hostWhere = (filter: HostFilter): Prisma.HostWhereInput => ({
  ...(filter.kernel === undefined ? {} : { kernelRelease: filter.kernel }), ...(filter.state === undefined ? {} : { state: filter.state }),
  ...(filter.names === undefined ? {} : { name: { in: [...filter.names] } }),
  AND: Object.entries(filter.labels ?? {}).map(([key, value]) => ({ labels: { path: [key], equals: value } })),
})

export async function listHosts(db: Database, filter: HostFilter, page: Page): Promise<Paged<HostRow>> {
  const rows = await db.prisma.host.findMany({
    where: { ...hostWhere(filter), ...(page.after === undefined ? {} : { name: { gt: page.after, ...(filter.names === undefined ? {} : { in: [...filter.names] }) } }) },
    orderBy: { name: 'asc' }, take: page.limit + 1, include: withCredential,
  })
  return paged(rows, page.limit, (row) => row.name)
}

export const findHost = (db: Database, name: string): Promise<HostRow | null> => db.prisma.host.findUnique({ where: { name }, include: withCredential })
export const findHostById = (db: Database, id: string): Promise<HostRow | null> => db.prisma.host.findUnique({ where: { id }, include: withCredential })

export interface SelectedHost { readonly id: string; readonly name: string; readonly state: string; readonly kernelRelease: string | null; readonly kernelBuildId: string | null; readonly arch: string | null; readonly mechanism: string | null; readonly loaded: unknown; readonly labels: Readonly<Record<string, string>> }

/** All hosts that a selection names, by name; only what planning needs. Names and labels go as one value each: there may be 100,000. */
export function selectHosts(db: Database, filter: HostFilter): Promise<SelectedHost[]> {
  const { labels = {}, kernel, state, names } = filter
  const all = Prisma.sql`TRUE`
  return db.prisma.$queryRaw<SelectedHost[]>`
    SELECT id, name, state, kernel_release AS "kernelRelease", kernel_build_id AS "kernelBuildId", arch, mechanism, loaded, labels FROM hosts
    WHERE ${names === undefined ? all : Prisma.sql`name = ANY(${[...names]}::text[])`} AND ${kernel === undefined ? all : Prisma.sql`kernel_release = ${kernel}`}
      AND ${state === undefined ? all : Prisma.sql`state = ${state}`} AND labels @> ${JSON.stringify(labels)}::jsonb ORDER BY name`
}

const withBuilds = { builds: { orderBy: { kernelRelease: 'asc' } } } as const satisfies Prisma.PatchInclude
export type PatchRow = Prisma.PatchGetPayload<{ include: typeof withBuilds }>

export const findPatch = (db: Database, name: string): Promise<PatchRow | null> => db.prisma.patch.findUnique({ where: { name }, include: withBuilds })

export async function listPatches(db: Database, page: Page): Promise<Paged<PatchRow>> {
  const rows = await db.prisma.patch.findMany({ where: page.after === undefined ? {} : { id: { lt: page.after } }, orderBy: { id: 'desc' }, take: page.limit + 1, include: withBuilds })
  return paged(rows, page.limit, (row) => row.id)
}

export const listCredentials = (db: Database) => db.prisma.credential.findMany({ orderBy: { name: 'asc' }, select: { id: true, name: true, kind: true, publicKey: true, createdAt: true } })
export const findCredential = (db: Database, name: string) => db.prisma.credential.findUnique({ where: { name }, select: { id: true, name: true } })

export async function loadCredential(db: Database, id: string): Promise<{ id: string; kind: 'ssh-key'; sealed: Uint8Array; keyVersion: number } | null> {
  const row = await db.prisma.credential.findUnique({ where: { id }, select: { id: true, sealed: true, keyVersion: true } })
  return row === null ? null : { ...row, kind: 'ssh-key' }
}

export interface RolloutRow {
  readonly id: string; readonly name: string; readonly kind: string; readonly patch: string; readonly state: RolloutState; readonly reason: unknown; readonly strategy: Strategy
  readonly plan: unknown; readonly createdAt: Date; readonly createdBy: string; readonly startedAt: Date | null; readonly endedAt: Date | null
  readonly approvals: readonly { readonly principal: string; readonly says: string; readonly at: Date; readonly expiresAt: Date }[]
  readonly builds: readonly { readonly id: string; readonly kernel: string; readonly proven: boolean; readonly counts: Counts; readonly stopped: unknown; readonly halted: unknown }[]
  readonly waves: readonly { readonly id: string; readonly index: number; readonly canary: boolean; readonly state: WaveState; readonly hosts: number; readonly counts: Readonly<Partial<Record<TargetState, number>>> }[]
}

type Counts = Readonly<Partial<Record<TargetState, number>>>

const openHalts = { where: { releasedAt: null }, select: { reason: true } } as const
const withWaves = {
  approvals: { where: { voidedAt: null }, orderBy: { at: 'asc' }, select: { principal: true, says: true, at: true, expiresAt: true } },
  patch: { select: { name: true } }, waves: { orderBy: { index: 'asc' }, include: { counts: true } },
  builds: { include: { build: { select: { kernelRelease: true, provenAt: true, artefact: { select: { halts: openHalts } } } } } },
} as const satisfies Prisma.RolloutInclude

function countsOf(rows: readonly { readonly state: string; readonly n: number }[]): Counts {
  const counts: Record<string, number> = {}
  for (const { state, n } of rows) if (n > 0) counts[state] = (counts[state] ?? 0) + n
  return counts
}

const rolloutRow = (row: Prisma.RolloutGetPayload<{ include: typeof withWaves }>): RolloutRow => ({
  ...row, patch: row.patch.name, state: row.state as RolloutState, strategy: row.strategy as unknown as Strategy,
  waves: row.waves.map((wave) => ({ ...wave, state: wave.state as WaveState, counts: countsOf(wave.counts) })),
  builds: row.builds.map(({ buildId, stopped, build }) => ({
    id: buildId, kernel: build.kernelRelease, proven: build.provenAt !== null, stopped, halted: build.artefact.halts[0]?.reason ?? null,
    counts: countsOf(row.waves.flatMap((wave) => wave.counts.filter((one) => one.buildId === buildId))),
  })).sort((a, b) => (a.kernel < b.kernel ? -1 : a.kernel > b.kernel ? 1 : 0)),
})

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export async function findRollout(db: Database, idOrName: string): Promise<RolloutRow | null> {
  const row = await db.prisma.rollout.findUnique({ where: uuid.test(idOrName) ? { id: idOrName } : { name: idOrName }, include: withWaves })
  return row === null ? null : rolloutRow(row)
}

export async function listRollouts(db: Database, page: Page): Promise<Paged<RolloutRow>> {
  const rows = await db.prisma.rollout.findMany({ where: page.after === undefined ? {} : { id: { lt: page.after } }, orderBy: { id: 'desc' }, take: page.limit + 1, include: withWaves })
  return paged(rows.map(rolloutRow), page.limit, (row) => row.id)
}

/** How many rollouts bear a name that starts so: to find a free one. */
export const rolloutNames = async (db: Database, start: string): Promise<string[]> => (await db.prisma.rollout.findMany({ where: { name: { startsWith: start } }, select: { name: true } })).map((row) => row.name)

const withHost = { wave: { select: { index: true } }, host: { select: { kernelRelease: true } } } as const satisfies Prisma.TargetInclude
export type TargetRow = Prisma.TargetGetPayload<{ include: typeof withHost }>

export async function listTargets(db: Database, rolloutId: string, filter: { readonly state?: string; readonly wave?: number }, page: Page): Promise<Paged<TargetRow>> {
  const rows = await db.prisma.target.findMany({
    where: { rolloutId, ...(filter.state === undefined ? {} : { state: filter.state }), ...(filter.wave === undefined ? {} : { wave: { index: filter.wave } }), ...(page.after === undefined ? {} : { hostName: { gt: page.after } }) },
    orderBy: { hostName: 'asc' }, take: page.limit + 1, include: withHost,
  })
  return paged(rows, page.limit, (row) => row.hostName)
}

/** Last progress of what is moving in a rollout, for the feed. */
export const movingTargets = (db: Database, rolloutId: string) => db.prisma.target.findMany({
  where: { rolloutId, state: { in: ['loading', 'transitioning', 'stalled', 'reverting'] } }, select: { id: true, hostName: true, progress: true }, take: 500,
})

export const rolloutStates = (db: Database) => db.prisma.rollout.groupBy({ by: ['state'], _count: true })
export const targetStates = (db: Database) => db.prisma.waveCount.groupBy({ by: ['state'], _sum: { n: true } })
