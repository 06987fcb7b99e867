// Debian packages that tests and the lab need: installed when the command they bring is missing.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { step } from './node.mjs'

const packageOf = {
  'redis-server': 'redis-server', shellcheck: 'shellcheck', sshd: 'openssh-server', busybox: 'busybox-static',
  readelf: 'binutils', flock: 'util-linux', ip: 'iproute2', chromium: 'chromium',
}
const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
const has = (command) => folders.some((folder) => existsSync(`${folder}/${command}`))

export function ensureDebian(commands) {
  const missing = commands.filter((command) => !has(command)).map((command) => packageOf[command])
  if (missing.length === 0) return
  if (!has('apt-get')) throw new Error(`These Debian packages are missing and there is no apt-get to install them: ${missing.join(', ')}.`)
  const asRoot = process.getuid?.() === 0
  if (!asRoot && spawnSync('sudo', ['-n', 'true']).status !== 0) {
    throw new Error(`These Debian packages are missing: ${missing.join(', ')}. Run as root, allow sudo without a password, or install them: sudo apt-get install --no-install-recommends ${missing.join(' ')}`)
  }
  const [program, ...prefix] = asRoot ? ['apt-get'] : ['sudo', '-n', 'apt-get']
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  step('the list of Debian packages is fetched', program, [...prefix, 'update', '-qq'], { env })
  step(`Debian packages are installed: ${missing.join(', ')}`, program, [...prefix, 'install', '-y', '--no-install-recommends', ...missing], { env })
}
