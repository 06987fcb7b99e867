#!/usr/bin/env node
// `npm run lab -- up|down|status|ssh|reboot|build`
import { spawn } from 'node:child_process'
import { parseArgs, USAGE } from './args.js'
import type { Order } from './args.js'
import { ensureMachine } from './machine.js'
import { labDown, labReboot, labStatus, labUp, prepareKernels } from './lab.js'
import { quoted, sshArgs } from './ssh.js'
import type { LabHost } from './state.js'

const EXIT = { ok: 0, failed: 1, usage: 64 }
const began = Date.now()
const say = (line: string): void => { process.stderr.write(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}\n`) }
const print = (line: string): void => { process.stdout.write(`${line}\n`) }

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ').trimEnd()).join('\n')
}

async function hostNamed(order: Order): Promise<LabHost> {
  const hosts = await labStatus(order.dir)
  const found = hosts.find((each) => each.host.name === order.rest[0])
  if (!found) throw new Error(`There is no host ${JSON.stringify(order.rest[0])} in this lab${hosts.length > 0 ? `; there are ${hosts.map((each) => each.host.name).join(', ')}` : ': it was never up'}.`)
  if (!found.running && order.command === 'ssh') throw new Error(`${found.host.name} is off. Run: npm run lab -- up`)
  return found.host
}

const commands: Readonly<Record<Order['command'], (order: Order) => Promise<number>>> = {
  async up(order) {
    const lab = await labUp({ hosts: order.hosts, kernels: order.kernels, append: order.append, accel: order.accel, dir: order.dir, say })
    print(table([['NAME', 'KERNEL', 'SSH', 'KEY'], ...lab.hosts.map((host) => [host.name, host.kernelRelease, `${host.user}@${host.address}:${host.port}`, host.privateKeyPath])]))
    if (order.json) print(JSON.stringify({ ...lab, seconds: (Date.now() - began) / 1000 }))
    return EXIT.ok
  },
  async down(order) {
    const stopped = await labDown({ dir: order.dir, wipe: order.wipe })
    print(stopped.length > 0 ? `powered off: ${stopped.join(', ')}` : 'nothing was running')
    if (order.json) print(JSON.stringify({ stopped }))
    return EXIT.ok
  },
  async status(order) {
    const hosts = await labStatus(order.dir)
    print(hosts.length === 0 ? 'no hosts' : table([['NAME', 'STATE', 'KERNEL', 'SSH', 'KEY'], ...hosts.map(({ host, running }) => [host.name, running ? 'running' : 'off', host.kernelRelease, `${host.user}@${host.address}:${host.port}`, host.privateKeyPath])]))
    if (order.json) print(JSON.stringify({ hosts: hosts.map(({ host, running }) => ({ ...host, running })) }))
    return EXIT.ok
  },
  async ssh(order) {
    const host = await hostNamed(order)
    // Like ssh itself: the words are joined and the shell over there reads them, one word alone is a whole command.
    const command = order.rest.slice(1)
    const args = [...sshArgs(host), ...(command.length === 1 ? command : command.length > 1 ? [quoted(command)] : [])]
    if (command.length === 0) args.unshift('-t')
    const child = spawn('ssh', args, { stdio: 'inherit' })
    return new Promise((resolve, reject) => child.once('error', reject).once('close', (status) => resolve(status ?? EXIT.failed)))
  },
  async reboot(order) {
    const { bootId } = await labReboot(await hostNamed(order))
    print(`${order.rest[0]} is up again, boot id ${bootId}`)
    if (order.json) print(JSON.stringify({ name: order.rest[0], bootId }))
    return EXIT.ok
  },
  async build(order) {
    await ensureMachine(say)
    const built = [...(await prepareKernels(order.kernels, say, order.refresh)).values()].map((each) => each.built)
    print(table([['KERNEL', 'RELEASE', 'MODULES'], ...built.map((each) => [each.key, each.release, Object.keys(each.modules).join(' ')])]))
    if (order.json) print(JSON.stringify({ kernels: built }))
    return EXIT.ok
  },
}

const parsed = parseArgs(process.argv.slice(2))
if ('help' in parsed) {
  print(USAGE)
} else if ('wrong' in parsed) {
  process.stderr.write(`lab: ${parsed.wrong}\n${USAGE}\n`)
  process.exitCode = EXIT.usage
} else {
  try {
    process.exitCode = await commands[parsed.order.command](parsed.order)
  } catch (error) {
    process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`)
    if (parsed.order.json) print(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }))
    process.exitCode = EXIT.failed
  }
}
