import type { Host, ReplyOf } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { action, type Tools } from '../command.js'
import { Ending } from '../exit.js'
import { table } from '../output/table.js'
import { collect, fileBytes, labelsOf, wholeNumber } from './input.js'

interface AddFlags {
  address: string; port: number; user: string; gate: 'installed' | 'zero-install'
  hostKey?: string; fingerprint?: string; trustShown?: boolean; key?: string; credential?: string; label?: string[]
}

/** The server names this code and the fingerprint when no key was given. */
const keyNotConfirmed = 'HOST_KEY_NOT_CONFIRMED'

const loadedOf = (host: Host): string => host.loaded.map((one) => `${one.name} (${one.state})`).join(', ')

export function hostLines(host: Host): string {
  return [
    `${host.name}  ${host.state}${host.reason ? `: ${host.reason.says}` : ''}`,
    `  reached as   ${host.user}@${host.address} port ${host.port}, gate ${host.gateMode}`,
    `  host key     ${host.hostKeySha256}`,
    `  kernel       ${host.kernelRelease ?? 'not known yet'}  ${host.arch ?? ''}  build id ${host.kernelBuildId ?? '-'}`,
    `  mechanism    ${host.mechanism ?? '-'}`,
    `  boot id      ${host.bootId ?? '-'}`,
    `  taint        ${host.taint ?? '-'}`,
    `  loaded       ${loadedOf(host) || 'nothing'}`,
    `  labels       ${Object.entries(host.labels).map(([key, value]) => `${key}=${value}`).join(' ') || '-'}`,
    `  facts of     ${host.factsAt ?? 'never'}`,
  ].join('\n')
}

async function storeKey(tools: Tools, file: string): Promise<string> {
  const stored = (await tools.client.call('credential.list')).items
  const name = file.replace(/^.*\//, '').replace(/[^a-zA-Z0-9._-]/g, '-').replace(/^[^a-zA-Z0-9]+/, '') || 'key'
  if (stored.some((one) => one.name === name)) return name
  const privateKey = Buffer.from(await fileBytes(file)).toString('utf8')
  const made = await tools.client.call('credential.add', { body: { name, privateKey, ...(process.env['UPTIDE_KEY_PASSPHRASE'] ? { passphrase: process.env['UPTIDE_KEY_PASSPHRASE'] } : {}) } })
  tools.print(`Stored the key as credential ${made.name}, sealed.`)
  return made.name
}

async function add(tools: Tools, name: string, flags: AddFlags): Promise<void> {
  const credential = flags.key ? await storeKey(tools, flags.key) : flags.credential
  const body = {
    name, address: flags.address, port: flags.port, user: flags.user, gateMode: flags.gate, labels: labelsOf(flags.label ?? []),
    ...(flags.hostKey ? { hostKey: flags.hostKey } : {}), ...(flags.fingerprint ? { hostKeySha256: flags.fingerprint } : {}),
    ...(credential ? { credential } : {}),
  }
  let host: ReplyOf<'host.add'>
  try { host = await tools.client.call('host.add', { body }) } catch (error) {
    const problem = error instanceof Ending ? (error.data as { code?: string; hostKeySha256?: string } | undefined) : undefined
    if (problem?.code !== keyNotConfirmed || !problem.hostKeySha256 || !flags.trustShown) throw error
    tools.print(`Trusting the key that ${name} shows: ${problem.hostKeySha256}`)
    host = await tools.client.call('host.add', { body: { ...body, hostKeySha256: problem.hostKeySha256 } })
  }
  tools.result(host, `${hostLines(host)}\nEnrolled.`)
}

export function hostCommands(uptide: Command): void {
  const host = uptide.command('host').description('The machines: enrol, list, look at, ask')
  host.command('add <name>').description('Enrol a host. Its host key is pinned: give it, or confirm the fingerprint that is shown.')
    .requiredOption('--address <address>', 'host name or address')
    .option('--port <port>', 'SSH port', wholeNumber, 22)
    .option('--user <user>', 'login', 'root')
    .option('--gate <mode>', 'installed (forced command) or zero-install', 'zero-install')
    .option('--host-key <key>', 'the host key to pin: "ssh-ed25519 AAAA…"')
    .option('--fingerprint <sha256>', 'pin the key the host shows if it has this fingerprint: SHA256:…')
    .option('--trust-shown', 'pin whatever key the host shows now; only on a network you trust')
    .option('--key <file>', 'private SSH key to store (sealed) and use; a passphrase comes from UPTIDE_KEY_PASSPHRASE')
    .option('--credential <name>', 'a credential that is stored already')
    .option('--label <key=value>', 'may be given often', collect)
    .action(action<[string, AddFlags]>(add))
  host.command('list').description('Hosts, by name')
    .option('--label <key=value>', 'only with this label; all must match', collect)
    .option('--where <selector>', 'only those that answer to an expression: \'label.role in (web, db) and kernel < 6.12\'')
    .option('--kernel <release>', 'only on this running kernel')
    .option('--state <state>', 'enrolled, reachable, unreachable or quarantined')
    .action(action<[{ label?: string[]; where?: string; kernel?: string; state?: Host['state'] }]>(async ({ client, result }, flags) => {
      const hosts: Host[] = []
      for await (const one of client.all('host.list', { query: flags })) hosts.push(one)
      result(hosts, table(['name', 'state', 'kernel', 'mechanism', 'loaded', 'address'], hosts.map((one) => [one.name, one.state, one.kernelRelease, one.mechanism, loadedOf(one), `${one.address}:${one.port}`])))
    }))
  host.command('show <name>').description('Everything known of one host')
    .action(action<[string]>(async ({ client, result }, name) => {
      const one = await client.call('host.show', { params: { name } })
      result(one, hostLines(one))
    }))
  host.command('probe <name...>').description('Ask hosts now: kernel, mechanism, what is loaded')
    .action(action<[string[]]>(async ({ client, result, print }, names) => {
      const replies: ReplyOf<'host.probe'>[] = []
      for (const name of names) {
        const reply = await client.call('host.probe', { params: { name }, body: {} })
        replies.push(reply)
        print(reply.ok ? hostLines(reply.host) : `${name}: ${reply.problem?.says ?? 'no answer'}`)
      }
      const bad = replies.filter((one) => !one.ok).length
      result(replies, `${replies.length - bad} answered, ${bad} did not.`)
      if (bad > 0) process.exitCode = 1
    }))
  host.command('retrust <name>').description('Accept a changed host key, by its fingerprint, with a reason that is recorded')
    .requiredOption('--fingerprint <sha256>', 'SHA256:… as seen on the host\'s own console')
    .requiredOption('--reason <text>', 'why the key changed')
    .action(action<[string, { fingerprint: string; reason: string }]>(async ({ client, result }, name, flags) => {
      const one = await client.call('host.retrust', { params: { name }, body: { hostKeySha256: flags.fingerprint, reason: flags.reason } })
      result(one, hostLines(one))
    }))
}
