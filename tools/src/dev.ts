// `npm run dev`: the server in watch mode, with a simulated fleet enrolled and a patch to roll out.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { checkPrivateKey, makePrivateKey } from '@uptide/transport'
import { ask, show } from './demo/cli.js'
import { root } from './plane.js'
import { serveFleet } from './sim-fleet.js'

const data = path.join(root, 'data/dev')
const port = Number(process.env['PORT'] ?? 4280)
const hosts = Number(process.env['UPTIDE_DEV_HOSTS'] ?? 20)
const say = (text: string): void => { process.stderr.write(`dev: ${text}\n`) }

/** Kept between runs, so that the hosts stay enrolled. */
function kept(file: string, make: () => string): string {
  const at = path.join(data, file)
  if (!existsSync(at)) writeFileSync(at, make(), { mode: 0o600 })
  return readFileSync(at, 'utf8')
}

async function enrol(token: string, fleetPort: number, hostKey: string, names: readonly string[]): Promise<void> {
  const operator = { url: `http://127.0.0.1:${port}`, token }
  const known = new Set((await ask<{ name: string }[]>(operator, 'host', 'list')).map((host) => host.name))
  for (const name of names) if (!known.has(name)) await ask(operator, 'host', 'add', name, '--address', '127.0.0.1', '--port', String(fleetPort), '--user', name, '--gate', 'installed', '--host-key', hostKey, '--key', path.join(data, 'client-key'))
  const fixtures = path.join(root, 'libs/livepatch/src/module/fixtures')
  const patches = new Set((await ask<{ name: string }[]>(operator, 'patch', 'list')).map((patch) => patch.name))
  for (const version of ['v1', 'v2']) if (!patches.has(`demo-${version}`)) await show(operator, 'patch', 'add', `demo-${version}`, `${fixtures}/uptide_${version}-6.1.ko`, `${fixtures}/uptide_${version}-6.12.ko`, '--title', `The lab's fix, ${version}`)
  say(`ready: export UPTIDE_URL=${operator.url} UPTIDE_TOKEN=$(cat data/dev/token); npm run -s uptide -- rollout create --patch demo-v1 --all --bake 10s --watch`)
}

async function main(): Promise<void> {
  mkdirSync(data, { recursive: true })
  const client = checkPrivateKey(kept('client-key', makePrivateKey))
  if (!client.ok) throw new Error(`data/dev/client-key: ${client.says}`)
  const fleet = await serveFleet({ hosts, seed: Date.now(), releases: ['6.1.0-50-cloud-amd64', '6.12.95+deb12-cloud-amd64'], clientKey: client.publicKey, hostKey: kept('host-key', makePrivateKey), port: 4322 })
  say(`${fleet.gates.size} simulated hosts on 127.0.0.1:${fleet.port}`)
  const compile = spawn(path.join(root, 'node_modules/.bin/tsc'), ['-b', '-w', '--preserveWatchOutput'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  const server = spawn(process.execPath, ['--watch', path.join(root, 'apps/server/dist/main.js')], { cwd: root, env: { ...process.env, UPTIDE_ROOT: root, UPTIDE_DATA: data, PORT: String(port) }, stdio: ['ignore', 'pipe', 'inherit'] })
  const stop = (): void => { compile.kill('SIGTERM'); server.kill('SIGTERM'); process.exit(0) }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  createInterface({ input: server.stdout }).on('line', (line) => {
    const token = /Admin token \(shown once\): (\S+)/.exec(line)?.[1]
    if (token !== undefined) writeFileSync(path.join(data, 'token'), token, { mode: 0o600 })
    else process.stdout.write(`${line}\n`)
  })
  for (;;) {
    await new Promise((done) => { setTimeout(done, 300) })
    if (await fetch(`http://127.0.0.1:${port}/api/v1/health`).then((reply) => reply.ok, () => false)) break
  }
  await enrol(readFileSync(path.join(data, 'token'), 'utf8').trim(), fleet.port, fleet.hostKey, [...fleet.gates.keys()])
}

await main()
