// Patches and their builds.
import { type Database, isUniqueViolation, write } from '../database.js'
import { newId } from '../ids.js'
import type { Principal } from '../port.js'

export interface NewPatch { readonly name: string; readonly title: string; readonly description: string; readonly cves: readonly string[]; readonly severity: string }

export async function addPatch(db: Database, patch: NewPatch, principal: Principal): Promise<{ ok: true; id: string } | { ok: false }> {
  const id = newId()
  try {
    return await write(db, principal, async ({ tx, emit }) => {
      await tx.patch.create({ data: { id, ...patch, cves: [...patch.cves], createdBy: principal } })
      emit({ kind: 'patch.added', data: { name: patch.name, title: patch.title, cves: patch.cves, severity: patch.severity } })
      return { ok: true as const, id }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { ok: false }
    throw error
  }
}

export interface NewBuild {
  readonly patchId: string; readonly patchName: string; readonly sha256: string; readonly bytes: Uint8Array
  readonly kernelRelease: string; readonly kernelBuildId: string | null; readonly arch: string; readonly moduleName: string
  readonly srcversion: string | null; readonly moduleBuildId: string | null; readonly vermagic: string
  readonly objects: readonly { readonly name: string; readonly functions: readonly string[] }[]; readonly objectsSource: string
  readonly replace: 'yes' | 'no' | 'unknown'; readonly replaceSource: 'file' | 'declared' | 'unknown'
  readonly rollbackRisk: { readonly level: string; readonly reasons: readonly string[] }
  readonly signature: { readonly present: boolean; readonly says: string }
}

/** @returns the build's id, or false when the patch has a build for this kernel already. */
export async function addBuild(db: Database, build: NewBuild, principal: Principal): Promise<{ ok: true; id: string } | { ok: false }> {
  const id = newId()
  const { bytes, patchName, ...row } = build
  try {
    return await write(db, principal, async ({ tx, emit }) => {
      await tx.$executeRaw`INSERT INTO artefacts (sha256, bytes, size_bytes) VALUES (${row.sha256}, ${Buffer.from(bytes)}, ${bytes.byteLength}) ON CONFLICT (sha256) DO NOTHING`
      await tx.build.create({ data: { id, ...row, sizeBytes: bytes.byteLength, objects: row.objects as object, rollbackRisk: row.rollbackRisk as object, signature: row.signature as object } })
      emit({ kind: 'build.added', data: { patch: patchName, buildId: id, kernelRelease: row.kernelRelease, moduleName: row.moduleName, sha256: row.sha256, sizeBytes: bytes.byteLength } })
      return { ok: true as const, id }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { ok: false }
    throw error
  }
}

export async function loadArtefact(db: Database, sha256: string): Promise<Uint8Array | null> {
  return (await db.prisma.artefact.findUnique({ where: { sha256 }, select: { bytes: true } }))?.bytes ?? null
}
