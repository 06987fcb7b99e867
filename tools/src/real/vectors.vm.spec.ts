// The conformance vectors on real kernels: the same acts and expectations that run against SimKernel, through the sh
// gate over SSH. 6.1 and 6.12 by default; UPTIDE_KERNELS names others, and then signature enforcement and lockdown too.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type BenchBuild, type BenchFeature, type BuildName, machineBench, type MachineBench, modernFeatures, runVector, vectorsFor } from '@uptide/fleet-sim'
import { type KernelKey, labDown, type LabHost, labModules, labReboot, labSsh, labUp } from '@uptide/lab'
import { readModuleFile } from '@uptide/livepatch'
import { sshRoad } from '@uptide/transport'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root } from '../plane.js'

const given = process.env['UPTIDE_KERNELS']
const kernels = (given ?? '6.1,6.12').split(',') as KernelKey[]
const gate = readFileSync(path.join(root, 'apps/gate/uptide-gate'), 'utf8')
const road = sshRoad()
const open: readonly BenchFeature[] = [...modernFeatures, 'loads-unsigned']

/** Where the kernel refuses what is unsigned, and what it was told on its command line. */
const strict: readonly (readonly [BenchFeature, string])[] = [['sig-enforce', 'module.sig_enforce=1'], ['lockdown', 'lockdown=integrity']]

const files: Readonly<Record<Exclude<BuildName, 'wrong_kernel'>, string>> = {
  v1: 'uptide_v1', v2: 'uptide_v2', stall: 'uptide_stall', hold: 'uptide_hold', shadow: 'uptide_shadow', bad_symbol: 'bad_symbol', bad_notag: 'bad_notag', bad_callback: 'bad_callback',
}

function buildOf(file: string, release: string): BenchBuild {
  const bytes = new Uint8Array(readFileSync(file))
  const read = readModuleFile(bytes)
  const facts = read.ok ? read.facts : null
  return {
    module: facts?.name ?? path.basename(file, '.ko'), bytes, sha256: createHash('sha256').update(bytes).digest('hex'), kernelRelease: release, kernelBuildId: null,
    srcversion: facts?.srcversion ?? null, moduleBuildId: facts?.moduleBuildId ?? null, objects: facts?.objects ?? [],
  }
}

async function buildsFor(host: LabHost): Promise<Record<BuildName, BenchBuild>> {
  const own = await labModules(host.kernelKey)
  const other = await labModules(host.kernelKey === '6.1' ? '6.12' : '6.1')
  const pick = (from: typeof own, name: string): string => { const file = from.modules[name]; if (file === undefined) throw new Error(`the lab has no ${name}`); return file }
  const builds = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, buildOf(pick(own, file), host.kernelRelease)]))
  return { ...builds, wrong_kernel: buildOf(pick(other, 'uptide_v1'), other.release) } as Record<BuildName, BenchBuild>
}

async function benchOf(host: LabHost, features: readonly BenchFeature[]): Promise<MachineBench> {
  const openGate = () => road.open({ host: host.address, port: host.port, user: host.user, privateKey: readFileSync(host.privateKeyPath, 'utf8'), hostKey: host.hostKey, gate: { mode: 'zero-install', text: gate } }, new AbortController().signal)
  return machineBench({
    name: `${host.name}-${host.kernelKey.replace('.', '-')}`, kernelRelease: host.kernelRelease, kernelBuildId: null, features, openGate, builds: await buildsFor(host),
    run: (script) => labSsh(host, ['sh', '-s'], { input: script, timeoutMs: 60_000 }), reboot: async () => { await labReboot(host) },
  }, BigInt(Date.now()))
}

function onLab(title: string, features: readonly BenchFeature[], append: string[]): void {
  describe(title, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'uptide-vectors-'))
    let benches: MachineBench[] = []
    beforeAll(async () => {
      const lab = await labUp({ hosts: kernels.length, kernels, dir, append })
      benches = await Promise.all(lab.hosts.map((host) => benchOf(host, features)))
    })
    afterAll(async () => {
      await labDown({ dir, wipe: true })
      rmSync(dir, { recursive: true, force: true })
    })
    for (const vector of vectorsFor(new Set(features))) {
      // All kernels at once: most of a vector's time is the kernel's own.
      it(vector.name, async () => {
        await Promise.all(benches.map(async (bench) => {
          if (features.includes('loads-unsigned')) await bench.clean()
          try { expect((await runVector(vector, bench)).length).toBeGreaterThan(0) } catch (error) { throw new Error(`on ${bench.name}: ${(error as Error).message}`, { cause: error }) }
        }))
      })
    }
  })
}

onLab(`real kernels ${kernels.join(', ')}`, open, [])
if (given !== undefined) for (const [feature, word] of strict) onLab(`real kernels with ${word}`, ['reboots', feature], [word])
