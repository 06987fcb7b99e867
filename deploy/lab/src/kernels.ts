// Debian's kernels: found through apt by their meta package (file names change with every update), fetched and
// extracted once for each set of package versions, never installed.
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { aptClosure, aptUpdate, extractPackages, findMirror } from './apt.js'
import type { DebFile } from './apt-sources.js'
import { loadOrder } from './load-order.js'
import type { Say } from './machine.js'
import { ensureNewest } from './newest.js'
import { cacheDir } from './paths.js'
import { must } from './run.js'

export const KERNEL_KEYS = ['5.10', '6.1', '6.12', '7.2'] as const
export type KernelKey = typeof KERNEL_KEYS[number]
export const DEFAULT_KERNELS: readonly KernelKey[] = ['6.1', '6.12']

interface KernelSource {
  /** Debian's suites, the preferred one first. */
  readonly suites: readonly string[]
  /** Its build tools need a newer C library than the machine's: they run inside an extracted copy of the suite. */
  readonly ownToolchain?: boolean
  /** The suite moves on to newer kernels; then the key stands for the newest. */
  readonly moving?: boolean
}

/** Where each kernel comes from, and what it needs to be built for. */
export const KERNELS: Readonly<Record<KernelKey, KernelSource>> = {
  '5.10': { suites: ['bullseye'] },
  '6.1': { suites: ['bookworm'] },
  '6.12': { suites: ['bookworm-backports', 'bookworm'] },
  '7.2': { suites: ['sid'], ownToolchain: true, moving: true },
}

/** The cloud flavour: a third of the size, boots in half the time, and has virtio and livepatch like the others. */
const META = ['linux-image-cloud-amd64', 'linux-headers-cloud-amd64']
const KERNEL_PACKAGE = /^linux-(image|binary|modules|base|headers|kbuild|compiler)-/
/** What a bare suite needs to run make in, besides the compiler that the headers' packages name. */
const TOOLCHAIN = ['base-files', 'make', 'bash', 'dash', 'coreutils', 'sed', 'grep', 'mawk', 'findutils', 'diffutils']
/** Left out of the toolchain: what only a running system wants, a fifth of the bytes. */
const NOT_FOR_BUILDING = /^(systemd|udev|dracut|3cpio|e2fsprogs|mount|perl|libasan|liblsan|libtsan|libubsan|libhwasan|debconf|openssl)/
/** Modules for a network card and a disk. Each kernel has some built in and others not at all. */
const BOOT_MODULES = ['virtio_pci', 'virtio_net', 'virtio_blk', 'crc32c_generic', 'ext4']

export interface Kernel {
  readonly key: KernelKey
  /** What uname -r says. */
  readonly release: string
  /** Names this exact set of packages: part of every cache key that depends on it. */
  readonly id: string
  readonly dir: string
  readonly vmlinuz: string
  /** The extracted packages: headers, kbuild and, for its own toolchain, the compiler. */
  readonly root: string
  /** Debian's modules for the network and the disk, in the order to load them. */
  readonly bootModules: readonly string[]
  readonly ownToolchain: boolean
}

/** What this page takes out of Debian's packages: a kernel fetched for less is fetched again. */
const RECIPE = '1'

interface Ready { readonly recipe: string, readonly release: string, readonly bootModules: readonly string[] }

/** Makes one kernel ready in the cache and returns it. `refresh` asks the mirror even when the cache is fresh. */
export function ensureKernel(key: KernelKey, say: Say, refresh = false): Promise<Kernel> {
  const base = path.join(cacheDir(), 'kernels', key)
  return ensureNewest({
    label: `kernel ${key}`, base, open: (name) => openKernel(key, path.join(base, name)), fetch: () => fetchKernel(key, base, say),
  }, say, refresh)
}

async function openKernel(key: KernelKey, dir: string): Promise<Kernel | undefined> {
  const text = await readFile(path.join(dir, 'ready.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const ready = JSON.parse(text) as Ready
  if (ready.recipe !== RECIPE) return undefined
  return {
    key, dir, id: path.basename(dir), release: ready.release, vmlinuz: path.join(dir, 'vmlinuz'), root: path.join(dir, 'root'),
    bootModules: ready.bootModules.map((name) => path.join(dir, 'boot', name)), ownToolchain: KERNELS[key].ownToolchain === true,
  }
}

/** Extracts the newest kernel of the suite unless it is there already, and returns the name of its folder. */
async function fetchKernel(key: KernelKey, base: string, say: Say): Promise<string> {
  const source = KERNELS[key]
  const apt = { dir: path.join(base, 'apt'), suites: source.suites }
  say(`kernel ${key}: asking Debian ${source.suites[0]} for the newest`)
  await aptUpdate(apt, await findMirror(say))
  const closure = await aptClosure(apt, source.ownToolchain ? [...META, ...TOOLCHAIN] : META)
  const wanted = closure.filter((file) => source.ownToolchain ? !NOT_FOR_BUILDING.test(file.name) : KERNEL_PACKAGE.test(file.name))
  const release = releaseOf(wanted)
  if (!release.startsWith(`${key}.`)) {
    if (!source.moving) throw new Error(`Debian ${source.suites[0]} has kernel ${release}, not ${key}.`)
    say(`kernel ${key}: Debian ${source.suites[0]} has moved on to ${release}, which is taken instead`)
  }
  const id = `${release}-${digest(wanted.map((file) => `${file.name}=${file.version}`).sort())}`
  const dir = path.join(base, id)
  if (await openKernel(key, dir)) return id
  say(`kernel ${key}: fetching ${release} (${wanted.length} packages)`)
  await rm(dir, { recursive: true, force: true })
  const root = path.join(dir, 'root')
  await extractPackages(apt, wanted, root)
  await takeVmlinuz(root, release, path.join(dir, 'vmlinuz'))
  const bootModules = await takeBootModules(root, release, path.join(dir, 'boot'))
  await pointHeadersHere(root, release, source.ownToolchain === true)
  await slim(root, release)
  await writeFile(path.join(dir, 'ready.json'), JSON.stringify({ recipe: RECIPE, release, bootModules } satisfies Ready))
  return id
}

/** The release that the headers are for: their package is called linux-headers-RELEASE. */
export function releaseOf(files: readonly DebFile[]): string {
  const found = files.map((file) => /^linux-headers-(\d.*-amd64)$/.exec(file.name)?.[1]).find((release) => release !== undefined)
  if (!found) throw new Error('Debian\'s kernel packages hold no headers for amd64.')
  return found
}

export const digest = (parts: readonly string[]): string => createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16)

async function takeVmlinuz(root: string, release: string, to: string): Promise<void> {
  // Up to 6.12 in /boot; from 7.x on beside its modules.
  for (const place of [`boot/vmlinuz-${release}`, `usr/lib/modules/${release}/vmlinuz`, `lib/modules/${release}/vmlinuz`]) {
    if (existsSync(path.join(root, place))) return copyFile(path.join(root, place), to)
  }
  throw new Error(`The packages of kernel ${release} hold no vmlinuz.`)
}

/** Copies the modules that the virtual machines need to boot, unpacked, and returns their file names in load order. */
async function takeBootModules(root: string, release: string, to: string): Promise<string[]> {
  const tree = [`usr/lib/modules/${release}`, `lib/modules/${release}`].map((place) => path.join(root, place)).find((place) => existsSync(path.join(place, 'kernel')))
  if (!tree) throw new Error(`The packages of kernel ${release} hold no modules.`)
  await must('depmod', ['-b', path.resolve(tree, '../../..'), release])
  const order = loadOrder(await readFile(path.join(tree, 'modules.dep'), 'utf8'), BOOT_MODULES)
  await mkdir(to, { recursive: true })
  const names: string[] = []
  for (const file of order) {
    const name = path.basename(file).replace(/\.(xz|gz|zst)$/, '')
    const copy = path.join(to, path.basename(file))
    await copyFile(path.join(tree, file), copy)
    if (file.endsWith('.xz')) await must('xz', ['-d', '-f', copy])
    else if (file.endsWith('.gz')) await must('gzip', ['-d', '-f', copy])
    else if (file.endsWith('.zst')) await must('zstd', ['-d', '-q', '-f', '--rm', copy])
    names.push(name)
  }
  return names
}

/** Debian's headers name their common part by an absolute path; it must lead into the extracted copy. */
async function pointHeadersHere(root: string, release: string, chrooted: boolean): Promise<void> {
  if (chrooted) return
  const makefile = path.join(root, 'usr/src', `linux-headers-${release}`, 'Makefile')
  const text = await readFile(makefile, 'utf8')
  await writeFile(makefile, text.replaceAll('/usr/src/', `${path.join(root, 'usr/src')}/`))
}

/** Removes what was needed only for booting, or by nobody: two thirds of the bytes. */
async function slim(root: string, release: string): Promise<void> {
  for (const place of ['boot', `lib/modules/${release}/kernel`, `usr/lib/modules/${release}/kernel`, 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/info']) {
    await rm(path.join(root, place), { recursive: true, force: true })
  }
  const headers = path.join(root, 'usr/src', `linux-headers-${release}`)
  // Type information of the whole kernel (5 MB) that the modules here are built without.
  if ((await readdir(headers)).includes('vmlinux')) await rm(path.join(headers, 'vmlinux'))
}
