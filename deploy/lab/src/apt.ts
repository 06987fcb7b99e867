// Packages of other Debian releases: fetched with apt's own checks into folders of ours. The machine's sources,
// lists and installed packages are never touched, and nothing fetched here is installed.
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { debianMirror, parseDeb822, parsePrintUris, parseSourcesList, templateMirror } from './apt-sources.js'
import type { AptSource, DebFile } from './apt-sources.js'
import { installPackages } from './machine.js'
import type { Say } from './machine.js'
import { must } from './run.js'

const SOURCES_DIR = '/etc/apt'
const TEMPLATE = '/usr/share/python-apt/templates/Debian.info'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** The Debian mirror to use: UPTIDE_LAB_MIRROR, or this machine's own, or (on a derivative) the one python-apt's template names. */
export async function findMirror(say: Say): Promise<string> {
  const named = process.env.UPTIDE_LAB_MIRROR
  if (named) {
    if (!/^https?:\/\/[^\s\]]+$/.test(named)) throw new Error(`UPTIDE_LAB_MIRROR is not an http or https address: ${JSON.stringify(named)}`)
    return named.replace(/\/+$/, '')
  }
  const own = debianMirror(await machineSources())
  if (own) return own
  if (!existsSync(TEMPLATE)) await installPackages(['python-apt-common'], say)
  const template = templateMirror(await readFile(TEMPLATE, 'utf8').catch(() => ''))
  if (template) return template
  throw new Error('This machine\'s apt sources name no Debian mirror, and its kernels are what the lab boots. Set UPTIDE_LAB_MIRROR to the address of one.')
}

async function machineSources(): Promise<AptSource[]> {
  const read = (file: string): Promise<string> => readFile(path.join(SOURCES_DIR, file), 'utf8').catch(() => '')
  const parts = await readdir(path.join(SOURCES_DIR, 'sources.list.d')).catch(() => [])
  const sources = parseSourcesList(await read('sources.list'))
  for (const part of parts.sort()) {
    if (part.endsWith('.list')) sources.push(...parseSourcesList(await read(`sources.list.d/${part}`)))
    if (part.endsWith('.sources')) sources.push(...parseDeb822(await read(`sources.list.d/${part}`)))
  }
  return sources
}

/** An apt of its own: its folder, and the suites it reads; the first one is preferred. */
export interface ForeignApt { readonly dir: string, readonly suites: readonly string[] }

const aptArgs = (apt: ForeignApt): string[] => [
  `Dir::Etc::sourcelist=${apt.dir}/sources.list`, 'Dir::Etc::sourceparts=/dev/null', 'Dir::Etc::preferences=/dev/null', 'Dir::Etc::preferencesparts=/dev/null',
  `Dir::State=${apt.dir}`, `Dir::State::lists=${apt.dir}/lists`, `Dir::State::status=${apt.dir}/status`, `Dir::Cache=${apt.dir}/cache`,
  'APT::Architecture=amd64', 'APT::Architectures::=amd64', 'APT::Install-Recommends=false', 'Acquire::Languages=none', 'Acquire::Retries=3',
  ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
].flatMap((option) => ['-o', option])

/** Fetches the suites' package lists. Throws when the mirror does not answer or a signature is wrong. */
export async function aptUpdate(apt: ForeignApt, mirror: string): Promise<void> {
  await mkdir(path.join(apt.dir, 'lists/partial'), { recursive: true })
  await mkdir(path.join(apt.dir, 'cache/archives/partial'), { recursive: true })
  await writeFile(path.join(apt.dir, 'sources.list'), apt.suites.map((suite) => `deb [signed-by=${KEYRING} arch=amd64] ${mirror} ${suite} main\n`).join(''))
  await writeFile(path.join(apt.dir, 'status'), '')
  await must('apt-get', [...aptArgs(apt), '-q', '--error-on=any', 'update'])
}

/** What installing these packages on an empty machine would take, their names and versions. */
export async function aptClosure(apt: ForeignApt, packages: readonly string[]): Promise<DebFile[]> {
  const listed = await must('apt-get', [...aptArgs(apt), '-qq', '-t', apt.suites[0] as string, '--print-uris', 'install', ...packages])
  const files = parsePrintUris(listed)
  if (files.length === 0) throw new Error(`apt named no packages for ${packages.join(' ')} in ${apt.suites.join(', ')}.`)
  return files
}

/** Downloads (checked by apt against the signed lists) and extracts packages into `root`, without running anything of theirs. */
export async function extractPackages(apt: ForeignApt, files: readonly DebFile[], root: string): Promise<void> {
  const folder = path.join(apt.dir, `debs-${process.pid}`)
  await mkdir(folder, { recursive: true })
  await mkdir(root, { recursive: true })
  try {
    await must('apt-get', [...aptArgs(apt), '-q', 'download', ...files.map((file) => `${file.name}=${file.version}`)], { cwd: folder })
    const debs = await readdir(folder)
    if (debs.length !== files.length) throw new Error(`apt downloaded ${debs.length} packages of ${files.length}.`)
    // base-files first: from Debian 13 on it brings the links /bin -> usr/bin that the others expect.
    const order = [...debs.filter((deb) => deb.startsWith('base-files_')), ...debs.filter((deb) => !deb.startsWith('base-files_'))]
    for (const deb of order) await must('dpkg-deb', ['-x', path.join(folder, deb), root])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
