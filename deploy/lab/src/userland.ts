// The programs inside the virtual machines: Debian's own, fetched like the kernels, so that the image does not depend
// on what this machine has installed (and no ssh server has to be installed, and so started, here).
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { aptClosure, aptUpdate, extractPackages, findMirror } from './apt.js'
import { digest } from './kernels.js'
import type { Say } from './machine.js'
import { ensureNewest } from './newest.js'
import { cacheDir } from './paths.js'
import { must } from './run.js'

const SUITES = ['bookworm']
const PACKAGES = ['openssh-server', 'openssh-client', 'busybox-static', 'kmod', 'bash', 'dash', 'util-linux']
/** Of what they depend on, only libraries are copied; the rest is for installing. */
const WANTED = /^(openssh|busybox|kmod$|bash$|dash$|util-linux$|lib(?!perl)|zlib1g)/

/** Programs copied with the libraries they load. busybox brings all the others (Debian's lacks flock). */
const PROGRAMS = ['/usr/sbin/sshd', '/usr/lib/openssh/sftp-server', '/usr/bin/ssh-keygen', '/usr/bin/flock', '/bin/kmod', '/bin/bash', '/bin/dash', '/bin/busybox']
const LIBRARIES = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu']
const LOADER = 'lib64/ld-linux-x86-64.so.2'

/** What this page takes out of Debian: a set fetched for other programs is fetched again. */
const RECIPE = digest(['1', ...PACKAGES, String(WANTED), ...PROGRAMS])

export interface Userland {
  readonly id: string
  readonly root: string
  /** Paths inside root, without a slash in front: programs and the libraries they load. */
  readonly files: readonly string[]
  /** busybox's commands. */
  readonly applets: readonly string[]
}

interface Ready extends Pick<Userland, 'files' | 'applets'> { readonly recipe: string }

export function ensureUserland(say: Say, refresh = false): Promise<Userland> {
  const base = path.join(cacheDir(), 'userland')
  return ensureNewest({ label: 'programs', base, open: (name) => openUserland(path.join(base, name)), fetch: () => fetchUserland(base, say) }, say, refresh)
}

async function openUserland(dir: string): Promise<Userland | undefined> {
  const text = await readFile(path.join(dir, 'ready.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const ready = JSON.parse(text) as Ready
  return ready.recipe === RECIPE ? { files: ready.files, applets: ready.applets, id: path.basename(dir), root: path.join(dir, 'root') } : undefined
}

async function fetchUserland(base: string, say: Say): Promise<string> {
  const apt = { dir: path.join(base, 'apt'), suites: SUITES }
  say('programs: asking Debian bookworm for the newest')
  await aptUpdate(apt, await findMirror(say))
  const wanted = (await aptClosure(apt, PACKAGES)).filter((file) => WANTED.test(file.name))
  const id = digest([RECIPE, ...wanted.map((file) => `${file.name}=${file.version}`).sort()])
  const dir = path.join(base, id)
  if (await openUserland(dir)) return id
  say(`programs: fetching ${wanted.length} packages`)
  await rm(dir, { recursive: true, force: true })
  const root = path.join(dir, 'root')
  await extractPackages(apt, wanted, root)
  const files = new Set<string>([LOADER])
  for (const program of PROGRAMS) {
    files.add(program.slice(1))
    for (const library of await librariesOf(root, program)) files.add(library)
  }
  const applets = (await must(path.join(root, 'bin/busybox'), ['--list'])).split('\n').filter((name) => /^[\w[.+-]+$/.test(name))
  await writeFile(path.join(dir, 'ready.json'), JSON.stringify({ recipe: RECIPE, files: [...files].sort(), applets } satisfies Ready))
  return id
}

/** The libraries that a program of the extracted packages loads, asked of their own loader. */
async function librariesOf(root: string, program: string): Promise<string[]> {
  if (program === '/bin/busybox') return []
  const search = LIBRARIES.map((folder) => path.join(root, folder)).join(':')
  const listed = await must(path.join(root, LOADER), ['--library-path', search, '--list', path.join(root, program)])
  if (listed.includes('not found')) throw new Error(`${program} of Debian's packages misses a library: ${listed.trim()}`)
  return [...listed.matchAll(/=> (\S+) \(0x/g)].map((match) => match[1] as string).filter((file) => file.startsWith(`${root}/`)).map((file) => file.slice(root.length + 1))
}
