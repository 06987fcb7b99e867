// A patch's rows as the API shows them.
import type { Build, Patch } from '@uptide/contracts/api'
import type { PatchRow } from '@uptide/store'

export function buildShape(row: PatchRow['builds'][number]): Build {
  return {
    id: row.id, patchId: row.patchId, kernelRelease: row.kernelRelease, kernelBuildId: row.kernelBuildId, arch: row.arch, moduleName: row.moduleName,
    sha256: row.sha256, sizeBytes: row.sizeBytes, srcversion: row.srcversion, moduleBuildId: row.moduleBuildId, vermagic: row.vermagic,
    objects: row.objects as Build['objects'], objectsSource: row.objectsSource, replace: row.replace as Build['replace'], replaceSource: row.replaceSource as Build['replaceSource'],
    rollbackRisk: row.rollbackRisk as Build['rollbackRisk'], signature: row.signature as Build['signature'], createdAt: row.createdAt.toISOString(),
  }
}

export const patchShape = (row: PatchRow): Patch => ({
  id: row.id, name: row.name, title: row.title, description: row.description, cves: row.cves, severity: row.severity as Patch['severity'],
  builds: row.builds.map(buildShape), createdAt: row.createdAt.toISOString(), createdBy: row.createdBy,
})
