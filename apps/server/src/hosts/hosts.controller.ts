import { Controller } from '@nestjs/common'
import { refuse } from '../http/problem.js'
import { type Input, inputOf, Route } from '../http/route.js'
import { Parts } from '../roles/parts.js'
import { HostsService } from './hosts.service.js'
import { hostShape } from './shape.js'

function labelsOf(words: string | string[] | undefined): Record<string, string> {
  return Object.fromEntries([words ?? []].flat().map((word) => {
    const cut = word.indexOf('=')
    if (cut < 1) throw refuse(400, 'BAD_INPUT', `A label is written key=value, not ${word.slice(0, 60)}.`, { at: [{ path: 'query.label', says: 'key=value' }] })
    return [word.slice(0, cut), word.slice(cut + 1)]
  }))
}

@Controller()
export class HostsController {
  constructor(private readonly hosts: HostsService, private readonly parts: Parts) {}

  @Route('host.add')
  add(@inputOf() { body, principal }: Input<'host.add'>) { return this.hosts.add(body, principal) }

  @Route('host.list')
  async list(@inputOf() { query }: Input<'host.list'>) {
    const filter = { labels: labelsOf(query.label), kernel: query.kernel, state: query.state }
    const names = query.where === undefined ? undefined : await this.hosts.namesWhere(query.where, filter, query)
    const { items, next } = await this.parts.store.listHosts({ ...filter, names }, query)
    return { items: items.map(hostShape), next }
  }

  @Route('host.show')
  async show(@inputOf() { params }: Input<'host.show'>) { return hostShape(await this.hosts.row(params['name'] ?? '')) }

  @Route('host.probe')
  async probe(@inputOf() { params, principal }: Input<'host.probe'>) {
    const { row, problem } = await this.hosts.probe(await this.hosts.row(params['name'] ?? ''), principal)
    return { host: hostShape(row), ok: problem === null, problem }
  }

  @Route('host.retrust')
  retrust(@inputOf() { params, body, principal }: Input<'host.retrust'>) { return this.hosts.retrust(params['name'] ?? '', body, principal) }

  @Route('credential.add')
  addCredential(@inputOf() { body, principal }: Input<'credential.add'>) { return this.hosts.addCredential(body, principal) }

  @Route('credential.list')
  async credentials() { return { items: await this.hosts.credentials(), next: null } }
}
