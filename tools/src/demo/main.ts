// `npm run demo`: the main job, on real kernels, from nothing.
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { labDown, labUp, type LabHost } from '@uptide/lab'
import { readFlags } from '../flags.js'
import { type Plane, root, startPlane } from '../plane.js'
import { heading, say, seconds } from './say.js'
import { stopLeftover } from './leftover.js'
import { story } from './story.js'

const help = `npm run demo -- [--once] [--json] [--hosts N] [--kernels 6.1,6.12] [--port P]

Boots real kernels in QEMU, live-patches them in waves over SSH, and shows it.
  --once      tear everything down at the end; exit 0 only if all was as promised
  --json      the last line is one JSON object
  --hosts N   number of VMs, 4 unless told; at least 4
  --kernels   kernel generations to boot: 5.10, 6.1, 6.12, 7.2
  --port P    the control plane's port, 4290 unless told`

const { values: flags } = readFlags(help, { options: { once: { type: 'boolean', default: false }, json: { type: 'boolean', default: false }, hosts: { type: 'string', default: '4' }, kernels: { type: 'string', default: '6.1,6.12' }, port: { type: 'string', default: '4290' }, help: { type: 'boolean', default: false } } })
if (flags.help) { say(help); process.exit(0) }
const hosts = Number(flags.hosts)
const port = Number(flags.port)
const kernels = flags.kernels.split(',')
if (!Number.isInteger(hosts) || hosts < 4 || !Number.isInteger(port) || port < 1 || port > 65_535 || kernels.length < 2) { process.stderr.write(`${help}\n`); process.exit(64) }

const data = path.join(root, 'data/demo')
const labFolder = path.join(root, 'data/demo-lab')

async function tearDown(plane: Plane | null): Promise<void> {
  await plane?.stop()
  await labDown({ dir: labFolder, wipe: true })
}

async function demo(): Promise<number> {
  let plane: Plane | null = null
  const cut = (): void => { void tearDown(plane).finally(() => process.exit(130)) }
  process.once('SIGINT', cut)
  process.once('SIGTERM', cut)
  try {
    heading('Starting the control plane on embedded stores, and booting the lab')
    await stopLeftover(data, port)
    await labDown({ dir: labFolder, wipe: true })
    rmSync(data, { recursive: true, force: true })
    const starting = startPlane({ data, port }).then((started) => { plane = started; return started })
    const [started, lab] = await Promise.all([starting, labUp({ hosts, kernels: kernels as never, dir: labFolder, say: (line: string) => { say(`  ${line}`) } })])
    if (started.token === null) throw new Error('the control plane printed no admin token')
    say(`  control plane at ${started.url}, ${lab.hosts.length} VMs: ${lab.hosts.map((host: LabHost) => `${host.name} (${host.kernelRelease})`).join(', ')}`)
    writeFileSync(path.join(data, 'token'), `${started.token}\n`, { mode: 0o600 })
    const result = await story({ url: started.url, token: started.token }, lab.hosts)
    process.off('SIGINT', cut)
    process.off('SIGTERM', cut)
    for (const fault of result.faults) say(`  NOT AS PROMISED: ${fault}`)
    if (flags.once) { heading('Tearing down'); await tearDown(started) } else { started.leave(); howToGoOn(started) }
    if (flags.json) say(JSON.stringify({ ok: result.faults.length === 0, seconds: seconds(), faults: result.faults, hosts: result.hosts }))
    return result.faults.length === 0 ? 0 : 1
  } catch (error) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
    await tearDown(plane)
    if (flags.json) say(JSON.stringify({ ok: false, seconds: seconds(), faults: [error instanceof Error ? error.message : String(error)], hosts: [] }))
    return 1
  }
}

function howToGoOn(plane: Plane): void {
  heading('It goes on running. Look:')
  say(`  export UPTIDE_URL=${plane.url} UPTIDE_TOKEN=$(cat data/demo/token)`)
  say('  npm run -s uptide -- host list            npm run -s uptide -- rollout list')
  say('  npm run -s uptide -- events --follow      npm run -s lab -- ssh --dir data/demo-lab lab-1 cat /proc/version')
  say('Stop:')
  say(`  kill ${plane.pid}; npm run -s lab -- down --dir data/demo-lab`)
}

process.exit(await demo())
