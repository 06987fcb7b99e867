// What a virtual machine boots from: an initramfs of three archives joined. The programs are the same for all, the
// modules are one kernel's, and the last small one is the host's own (keys, name, identity).
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { cpioArchive } from './cpio.js'
import type { CpioEntry } from './cpio.js'
import { digest } from './kernels.js'
import type { Kernel } from './kernels.js'
import type { BuiltModules } from './modules.js'
import { cacheDir, imageSources } from './paths.js'
import { pruneUnused, touch } from './prune.js'
import type { Userland } from './userland.js'

/** Changes when the image's layout changes, so that older ones are not taken. */
const RECIPE = '5'
const FOLDERS = ['dev', 'proc', 'sys', 'run', 'etc', 'etc/ssh', 'root', 'tmp', 'usr', 'usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'var', 'var/lib', 'var/log', 'var/empty', 'lab']
/** As on Debian: one /usr, and links to it. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64']
const KMOD_NAMES = ['insmod', 'rmmod', 'lsmod', 'modinfo', 'modprobe', 'depmod']
/** The users that sshd needs. */
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n'
const TEXTS: Readonly<Record<string, string>> = {
  'etc/passwd': PASSWD,
  'etc/shadow': 'root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n',
  'etc/hosts': '127.0.0.1 localhost\n',
  'etc/os-release': 'ID=uptide-lab\nID_LIKE=debian\nNAME="Uptide lab"\nPRETTY_NAME="Uptide lab host"\nVERSION_ID=1\n',
}

/** The two archives that all hosts of a kernel share, built when the cache lacks them; paths of their files, in order. */
export async function ensureImage(userland: Userland, kernel: Kernel, built: BuiltModules): Promise<string[]> {
  const scripts = await Promise.all(['init', 'inittab', 'sshd_config', 'reader'].map((name) => readFile(path.join(imageSources, name), 'utf8')))
  const base = await archive(`base-${digest([RECIPE, userland.id, JSON.stringify(TEXTS), ...scripts])}.cpio`, () => baseEntries(userland))
  const own = await archive(`kernel-${kernel.release}-${digest([RECIPE, kernel.id, ...Object.values(built.modules)])}.cpio`, () => kernelEntries(kernel, built))
  return [base, own]
}

async function archive(name: string, entries: () => Promise<CpioEntry[]>): Promise<string> {
  const file = path.join(cacheDir(), 'images', name)
  if (existsSync(file)) {
    await touch(file)
    return file
  }
  await mkdir(path.dirname(file), { recursive: true })
  await pruneUnused(path.dirname(file), /\.cpio/)
  const half = `${file}.${process.pid}`
  await writeFile(half, cpioArchive(await entries()))
  await rename(half, file)
  return file
}

/** Where a file of the packages lies in the image, with /bin, /sbin and /lib inside /usr. */
const inUsr = (file: string): string => file.startsWith('usr/') ? file : `usr/${file}`

async function baseEntries(userland: Userland): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = FOLDERS.map((folder) => ({ kind: 'folder', path: folder, mode: folder === 'root' ? 0o700 : folder === 'tmp' ? 0o1777 : 0o755 }))
  entries.push(...MERGED.map((name): CpioEntry => ({ kind: 'link', path: name, to: `usr/${name}` })))
  // init's own output goes to the console before devtmpfs is mounted.
  entries.push({ kind: 'device', path: 'dev/console', major: 5, minor: 1 }, { kind: 'device', path: 'dev/null', mode: 0o666, major: 1, minor: 3 })
  const taken = new Set<string>(FOLDERS)
  for (const file of userland.files) {
    const to = inUsr(file)
    for (let at = to.indexOf('/', 4); at > 0; at = to.indexOf('/', at + 1)) {
      const folder = to.slice(0, at)
      if (!taken.has(folder)) entries.push({ kind: 'folder', path: folder })
      taken.add(folder)
    }
    entries.push({ kind: 'file', path: to, mode: 0o755, bytes: await readFile(path.join(userland.root, file)) })
    taken.add(to)
  }
  const link = (name: string, to: string): void => {
    if (['bin', 'sbin'].some((folder) => taken.has(`usr/${folder}/${name}`))) return
    taken.add(`usr/bin/${name}`)
    entries.push({ kind: 'link', path: `usr/bin/${name}`, to })
  }
  for (const name of KMOD_NAMES) {
    entries.push({ kind: 'link', path: `usr/sbin/${name}`, to: '../bin/kmod' })
    taken.add(`usr/sbin/${name}`)
  }
  // As on Debian. busybox's own sh would run its own insmod instead of kmod's, whatever the PATH says.
  link('sh', 'dash')
  for (const name of userland.applets) link(name, 'busybox')
  for (const [name, text] of Object.entries(TEXTS)) entries.push(text_(name, text, name === 'etc/shadow' ? 0o600 : 0o644))
  const script = async (name: string, to: string, mode: number): Promise<CpioEntry> => ({ kind: 'file', path: to, mode, bytes: await readFile(path.join(imageSources, name)) })
  entries.push(await script('init', 'init', 0o755), await script('inittab', 'etc/inittab', 0o644), await script('sshd_config', 'etc/ssh/sshd_config', 0o644), await script('reader', 'lab/reader', 0o755))
  return entries
}

const text_ = (name: string, text: string, mode: number): CpioEntry => ({ kind: 'file', path: name, mode, bytes: Buffer.from(text) })

async function kernelEntries(kernel: Kernel, built: BuiltModules): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = ['usr/lib/modules', 'usr/lib/modules/boot'].map((folder) => ({ kind: 'folder', path: folder }))
  for (const [index, file] of kernel.bootModules.entries()) {
    // The number keeps the load order in a shell's glob.
    entries.push({ kind: 'file', path: `usr/lib/modules/boot/${String(index).padStart(2, '0')}-${path.basename(file)}`, bytes: await readFile(file) })
  }
  for (const [name, file] of Object.entries(built.modules)) entries.push({ kind: 'file', path: `lab/${name}.ko`, bytes: await readFile(file) })
  return entries
}

/** What makes a host itself. */
export interface HostIdentity { readonly name: string, readonly machineId: string, readonly hostKeyFile: string, readonly authorizedKey: string }

/** Writes one host's initramfs: the shared archives and its own. */
export async function writeHostImage(to: string, shared: readonly string[], identity: HostIdentity): Promise<void> {
  const own = cpioArchive([
    text_('etc/hostname', `${identity.name}\n`, 0o644),
    text_('etc/machine-id', `${identity.machineId}\n`, 0o444),
    { kind: 'file', path: 'etc/ssh/ssh_host_ed25519_key', mode: 0o600, bytes: await readFile(identity.hostKeyFile) },
    text_('etc/ssh/ssh_host_ed25519_key.pub', await readFile(`${identity.hostKeyFile}.pub`, 'utf8'), 0o644),
    { kind: 'folder', path: 'root/.ssh', mode: 0o700 },
    text_('root/.ssh/authorized_keys', `${identity.authorizedKey}\n`, 0o600),
  ])
  await writeFile(to, Buffer.concat([...await Promise.all(shared.map((file) => readFile(file))), own]), { mode: 0o600 })
}
