import type { Build, Patch } from '@uptide/contracts/api'
import type { Command } from 'commander'
import { action, type Tools } from '../command.js'
import { Ending } from '../exit.js'
import { table } from '../output/table.js'
import { collect, fileBytes } from './input.js'

interface AddFlags { title?: string; description?: string; cve?: string[]; severity?: Patch['severity']; replace?: 'yes' | 'no'; kernelBuildId?: string }

const functionsOf = (build: Build): string => build.objects.map((object) => `${object.name}: ${object.functions.join(', ')}`).join('; ')

function buildLines(build: Build): string {
  const risks = build.rollbackRisk.reasons.length > 0 ? ` (${build.rollbackRisk.reasons.join('; ')})` : ''
  return [
    `  ${build.kernelRelease}  ${build.arch}  module ${build.moduleName}  ${build.sizeBytes} bytes`,
    `    patches    ${functionsOf(build) || 'not readable from the file'}`,
    `    undo       ${build.rollbackRisk.level}${risks}`,
    `    replace    ${build.replace} (${build.replaceSource})   signature  ${build.signature.says}`,
    `    sha256     ${build.sha256}`,
  ].join('\n')
}

const patchLines = (patch: Patch): string =>
  [`${patch.name}  ${patch.severity}  ${patch.title}`, `  ${patch.cves.join(' ') || 'no CVE named'}  by ${patch.createdBy}, ${patch.createdAt}`, ...patch.builds.map(buildLines)].join('\n')

async function add(tools: Tools, name: string, files: string[], flags: AddFlags): Promise<void> {
  // Read before anything is created: a wrong file name must not leave half a patch behind.
  const modules = await Promise.all(files.map(async (file) => ({ file, bytes: await fileBytes(file) })))
  try {
    await tools.client.call('patch.add', { body: { name, title: flags.title ?? name, description: flags.description ?? '', cves: flags.cve ?? [], ...(flags.severity ? { severity: flags.severity } : {}) } })
  } catch (error) {
    const exists = error instanceof Ending && (error.data as { code?: string } | undefined)?.code === 'PATCH_EXISTS'
    if (!exists || modules.length === 0) throw error
    tools.print(`Patch ${name} exists; the builds are added to it.`)
  }
  const refused: string[] = []
  for (const { file, bytes } of modules) {
    try {
      const build = await tools.client.call('build.add', { params: { name }, query: { replace: flags.replace, kernelBuildId: flags.kernelBuildId }, body: bytes })
      tools.print(buildLines(build))
    } catch (error) {
      if (!(error instanceof Ending) || error.exit !== 'refused') throw error
      refused.push(`${file}: ${error.message}`)
    }
  }
  const patch = await tools.client.call('patch.show', { params: { name } })
  if (refused.length > 0) {
    const then = refused.length < modules.length ? `The others are in patch ${name}.`
      : `Patch ${name} has ${patch.builds.length === 0 ? 'no build yet' : 'only the builds it had'}; add one with: uptide patch add ${name} FILE.ko`
    throw new Ending('refused', `${refused.length} of ${modules.length} builds were refused:\n${refused.join('\n')}`, then, { patch })
  }
  tools.result(patch, `Patch ${name} has ${patch.builds.length} build${patch.builds.length === 1 ? '' : 's'}.`)
}

export function patchCommands(uptide: Command): void {
  const patch = uptide.command('patch').description('Fixes, and their builds: one .ko for each kernel')
  patch.command('add <name> [modules...]').description('Create a patch from one .ko per kernel, or add builds to one that exists')
    .option('--title <text>', 'one line for people')
    .option('--description <text>', 'more words')
    .option('--cve <id>', 'CVE-2026-12345; may be given often', collect)
    .option('--severity <severity>', 'low, moderate, important or critical')
    .option('--replace <yes|no>', 'declare whether the builds replace all earlier patches (a file does not always say)')
    .option('--kernel-build-id <hex>', 'build id of the kernel it was built for')
    .action(action<[string, string[], AddFlags]>(add))
  patch.command('list').description('Patches, newest first')
    .action(action(async ({ client, result }) => {
      const patches: Patch[] = []
      for await (const one of client.all('patch.list')) patches.push(one)
      result(patches, table(['name', 'severity', 'builds', 'kernels', 'title'], patches.map((one) => [one.name, one.severity, one.builds.length, one.builds.map((build) => build.kernelRelease).join(', '), one.title])))
    }))
  patch.command('show <name>').description('One patch and its builds')
    .action(action<[string]>(async ({ client, result }, name) => {
      const one = await client.call('patch.show', { params: { name } })
      result(one, patchLines(one))
    }))
}
