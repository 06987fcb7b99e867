// The lab's own kernel modules, built from this project's sources against each kernel's headers.
import { existsSync } from 'node:fs'
import { copyFile, cp, mkdir, readFile, readdir, rename, rm, symlink } from 'node:fs/promises'
import path from 'node:path'
import { ensureKernel, digest } from './kernels.js'
import type { Kernel, KernelKey } from './kernels.js'
import type { Say } from './machine.js'
import { cacheDir, moduleSources } from './paths.js'
import { pruneUnused, touch } from './prune.js'
import { must, run } from './run.js'

export interface BuiltModules {
  readonly key: KernelKey
  readonly release: string
  /** Module name, as the kernel calls it -> its .ko file. */
  readonly modules: Readonly<Record<string, string>>
}

/** Changes when the way of building changes, so that older results are not taken. */
const RECIPE = '1'
const SOURCE_FILE = /(\.[ch]|^Kbuild)$/

/** The lab's modules for one kernel, fetched and built when the cache lacks them. */
export async function labModules(key: KernelKey, say: Say = () => undefined): Promise<BuiltModules> {
  return buildModules(await ensureKernel(key, say), say)
}

export async function buildModules(kernel: Kernel, say: Say): Promise<BuiltModules> {
  const names = (await readdir(moduleSources)).filter((name) => SOURCE_FILE.test(name)).sort()
  const texts = await Promise.all(names.map((name) => readFile(path.join(moduleSources, name), 'utf8')))
  const dir = path.join(cacheDir(), 'modules', `${kernel.release}-${digest([RECIPE, kernel.id, ...names, ...texts])}`)
  if (existsSync(dir)) await touch(dir)
  else {
    say(`kernel ${kernel.key}: building the lab's modules for ${kernel.release}`)
    const made = await (kernel.ownToolchain ? makeInside : makeHere)(kernel, names)
    // Finished results appear in one step; whoever was slower with the same ones leaves the first.
    await rename(made, dir).catch(async (error: NodeJS.ErrnoException) => {
      await rm(made, { recursive: true, force: true })
      if (!existsSync(dir)) throw error
    })
    await pruneUnused(path.dirname(dir), /./)
  }
  const files = (await readdir(dir)).filter((name) => name.endsWith('.ko')).sort()
  return { key: kernel.key, release: kernel.release, modules: Object.fromEntries(files.map((name) => [name.slice(0, -3), path.join(dir, name)])) }
}

/** Without type information (BTF): it would want pahole and the kernel's own, and nothing here reads it. */
const MAKE_ARGS = ['modules', 'CONFIG_DEBUG_INFO_BTF_MODULES=', `-j2`]

async function makeHere(kernel: Kernel, names: readonly string[]): Promise<string> {
  const work = await workFolder(path.join(cacheDir(), 'modules'), names)
  const headers = path.join(kernel.root, 'usr/src', `linux-headers-${kernel.release}`)
  if (/[\s:]/.test(work + headers)) throw new Error(`make cannot build in a folder whose name holds a space or colon (${work}). Set UPTIDE_LAB_CACHE to another place.`)
  try {
    await must('make', ['-C', headers, `M=${work}`, 'CC=gcc-12', ...MAKE_ARGS])
    return await keepKo(work)
  } catch (error) {
    throw new Error(`The lab's modules could not be built for ${kernel.release}: ${(error as Error).message}`, { cause: error })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Builds with the compiler of the kernel's own suite, inside its extracted packages. */
async function makeInside(kernel: Kernel, names: readonly string[]): Promise<string> {
  const work = await workFolder(path.join(kernel.root, 'build'), names)
  const compilers = (await readdir(path.join(kernel.root, 'usr/bin'))).map((name) => /^x86_64-linux-gnu-gcc-(\d+)$/.exec(name)?.[1]).filter((version) => version !== undefined)
  try {
    for (const folder of ['tmp', 'dev', 'proc']) await mkdir(path.join(kernel.root, folder), { recursive: true })
    // What a configured system has from its packages' scripts, which were not run.
    await symlink('mawk', path.join(kernel.root, 'usr/bin/awk')).catch(ignoreExisting)
    const [program, ...before] = await ownMounts()
    await must(program, [...before, 'sh', path.join(moduleSources, 'make-inside.sh'), kernel.root, '-C', `/usr/src/linux-headers-${kernel.release}`,
      `M=/build/${path.basename(work)}`, `CC=x86_64-linux-gnu-gcc-${compilers.at(-1)}`, ...MAKE_ARGS])
    return await keepKo(work)
  } catch (error) {
    throw new Error(`The lab's modules could not be built for ${kernel.release}: ${(error as Error).message}`, { cause: error })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Words in front of a program that give it mounts of its own: as root, else in a user namespace, else through sudo. */
async function ownMounts(): Promise<[string, ...string[]]> {
  const ways: [string, ...string[]][] = process.getuid?.() === 0 ? [['unshare', '--mount']] : [['unshare', '--map-root-user', '--mount'], ['sudo', '-n', 'unshare', '--mount']]
  for (const [program, ...before] of ways) {
    const tried = await run(program, [...before, 'true']).catch(() => undefined)
    if (tried?.status === 0) return [program, ...before]
  }
  throw new Error('its compiler runs in an extracted copy of its own Debian, and this machine lets nobody mount /proc there (unshare --mount failed)')
}

const ignoreExisting = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EEXIST') throw error
}

let works = 0
async function workFolder(base: string, names: readonly string[]): Promise<string> {
  const work = path.join(base, `work-${process.pid}-${++works}`)
  await mkdir(work, { recursive: true })
  for (const name of names) await cp(path.join(moduleSources, name), path.join(work, name))
  return work
}

/** Takes the .ko files out of a finished build, without debug information, into a folder of their own beside the cache's others. */
async function keepKo(work: string): Promise<string> {
  const kept = path.join(cacheDir(), 'modules', `made-${process.pid}-${works}`)
  await mkdir(kept, { recursive: true })
  for (const name of (await readdir(work)).filter((each) => each.endsWith('.ko'))) {
    await must('strip', ['--strip-debug', path.join(work, name)])
    await copyFile(path.join(work, name), path.join(kept, name))
  }
  return kept
}
