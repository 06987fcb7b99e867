// The Debian packages the lab itself needs on this machine, installed once when a command is missing.
import { existsSync } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import { must, ProgramFailed, run } from './run.js'

export type Say = (line: string) => void

/** What must exist, and the package that brings it. libelf is what a kernel's own build tools link to. */
const NEEDS: readonly { readonly file: string, readonly package: string }[] = [
  { file: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { file: '/usr/share/seabios/bios-256k.bin', package: 'seabios' },
  { file: 'depmod', package: 'kmod' },
  { file: 'ssh', package: 'openssh-client' },
  { file: 'ssh-keygen', package: 'openssh-client' },
  { file: 'xz', package: 'xz-utils' },
  { file: 'make', package: 'make' },
  { file: 'gcc-12', package: 'gcc-12' },
  { file: 'ld', package: 'binutils' },
  { file: 'mke2fs', package: 'e2fsprogs' },
  { file: '/usr/lib/x86_64-linux-gnu/libelf.so.1', package: 'libelf1' },
  { file: '/usr/share/keyrings/debian-archive-keyring.gpg', package: 'debian-archive-keyring' },
]
const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
/** apt waits this long for another apt on the machine, seconds. */
const APT_LOCK_WAIT_S = 300

const has = (file: string): boolean => file.startsWith('/') ? existsSync(file) : FOLDERS.some((folder) => existsSync(`${folder}/${file}`))

/** Packages that are missing here, each once. */
export const missingPackages = (): string[] => [...new Set(NEEDS.filter((need) => !has(need.file)).map((need) => need.package))]

/** Whether programs can be run as root without a question, and how: the words to put in front. */
async function rootPrefix(): Promise<readonly string[] | undefined> {
  if (process.getuid?.() === 0) return []
  const sudo = await run('sudo', ['-n', 'true']).catch(() => undefined)
  return sudo?.status === 0 ? ['sudo', '-n'] : undefined
}

/** Installs what the lab needs and the machine lacks. Throws with the command to run when it may not. */
export async function ensureMachine(say: Say): Promise<void> {
  await installPackages(missingPackages(), say)
}

/** Installs Debian packages, without questions. Throws an error a person can act on. */
export async function installPackages(packages: readonly string[], say: Say): Promise<void> {
  if (packages.length === 0) return
  const list = packages.join(' ')
  if (process.arch !== 'x64') throw new Error(`The lab's virtual machines are x86-64; this machine is ${process.arch}.`)
  if (!has('apt-get')) throw new Error(`The lab needs these Debian packages and there is no apt-get to install them: ${list}.`)
  const prefix = await rootPrefix()
  if (!prefix) throw new Error(`The lab needs these packages: ${list}. Run as root, allow sudo without a password, or run: sudo apt-get install --no-install-recommends ${list}`)
  say(`installing on this machine: ${list}`)
  const [program, ...before] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-o', `DPkg::Lock::Timeout=${APT_LOCK_WAIT_S}`] as string[] as [string, ...string[]]
  try {
    await must(program, [...before, 'update'])
    await must(program, [...before, 'install', '-y', '--no-install-recommends', ...packages])
  } catch (error) {
    const why = error instanceof ProgramFailed ? error.output.trim().split('\n').slice(-3).join(' ') : String(error)
    throw new Error(`apt-get could not install ${list}: ${why}`, { cause: error })
  }
}

/** Whether this process may open the file for reading and writing. */
export const mayUse = (file: string): Promise<boolean> => access(file, constants.R_OK | constants.W_OK).then(() => true, () => false)
