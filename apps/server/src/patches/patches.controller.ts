import { Controller } from '@nestjs/common'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'
import { PatchesService } from './patches.service.js'
import { patchShape } from './shape.js'

@Controller()
export class PatchesController {
  constructor(private readonly patches: PatchesService, private readonly parts: Parts) {}

  @Route('patch.add')
  add(@inputOf() { body, principal }: Input<'patch.add'>) { return this.patches.add(body, principal) }

  @Route('patch.list')
  async list(@inputOf() { query }: Input<'patch.list'>) {
    const { items, next } = await this.parts.store.listPatches(query)
    return { items: items.map(patchShape), next }
  }

  @Route('patch.show')
  async show(@inputOf() { params }: Input<'patch.show'>) { return patchShape(await this.patches.row(params['name'] ?? '')) }

  @Route('build.add')
  addBuild(@inputOf() { params, query, body, principal }: Input<'build.add'>) { return this.patches.addBuild(params['name'] ?? '', body, query, principal) }
}
