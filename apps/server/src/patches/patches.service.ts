// Patches, and uploads of their builds.
import { createHash } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import type { Build, Patch } from '@uptide/contracts/api'
import type { PatchRow } from '@uptide/store'
import { refuse } from '../http/problem.js'
import { Parts } from '../roles/parts.js'
import { readInWorker } from './read-in-worker.js'
import { buildShape, patchShape } from './shape.js'

@Injectable()
export class PatchesService {
  constructor(private readonly parts: Parts) {}

  async row(name: string): Promise<PatchRow> {
    const row = await this.parts.store.findPatch(name)
    if (!row) throw refuse(404, 'NO_SUCH_PATCH', `There is no patch ${name}.`)
    return row
  }

  async add(body: { name: string; title: string; description: string; cves: string[]; severity: string }, principal: string): Promise<Patch> {
    const made = await this.parts.store.addPatch(body, principal)
    if (!made.ok) throw refuse(409, 'PATCH_EXISTS', `There is a patch ${body.name} already.`, { next: 'Builds can be added to it, or choose another name.' })
    return patchShape(await this.row(body.name))
  }

  /** Reads the module, refuses what is no livepatch, keeps the bytes exactly as they came. */
  async addBuild(name: string, bytes: Uint8Array, declared: { replace?: 'yes' | 'no' | undefined; kernelBuildId?: string | undefined }, principal: string): Promise<Build> {
    const patch = await this.row(name)
    const read = await readInWorker(bytes)
    if (!read.ok) throw refuse(422, read.code, read.says)
    const { facts } = read
    if (declared.replace !== undefined && facts.replace !== 'unknown' && declared.replace !== facts.replace) throw refuse(422, 'REPLACE_DIFFERS', `The file says replace=${facts.replace}, and replace=${declared.replace} was declared.`)
    const fromFile = facts.replace !== 'unknown'
    const made = await this.parts.store.addBuild({
      patchId: patch.id, patchName: name, bytes, sha256: createHash('sha256').update(bytes).digest('hex'),
      kernelRelease: facts.kernelRelease, kernelBuildId: declared.kernelBuildId ?? null, arch: facts.arch, moduleName: facts.name,
      srcversion: facts.srcversion, moduleBuildId: facts.moduleBuildId, vermagic: facts.vermagic, objects: facts.objects, objectsSource: facts.objectsSource,
      replace: fromFile ? facts.replace : (declared.replace ?? 'unknown'), replaceSource: fromFile ? 'file' : declared.replace === undefined ? 'unknown' : 'declared',
      rollbackRisk: facts.rollbackRisk, signature: { present: facts.signature !== null, says: facts.signature === null ? 'unsigned' : `signed (${facts.signature.bytes} bytes, not verified here)` },
    }, principal)
    if (!made.ok) throw refuse(409, 'BUILD_EXISTS', `Patch ${name} has a build for ${facts.kernelRelease} (${facts.arch}) already; a build is never exchanged.`, { next: 'Make a new patch for a new build.' })
    const row = (await this.row(name)).builds.find((one) => one.id === made.id)
    if (!row) throw new Error(`build ${made.id} was added and is not there`)
    return buildShape(row)
  }
}
