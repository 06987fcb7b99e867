// Runs one vector against one bench, as the control plane would: leases with rising tokens, what is known of a target
// kept between its attempts, every outcome from the drivers that the worker uses.
import { drive, klpDrivers, moduleStateOf, readModule, readPatches } from '@uptide/livepatch'
import type { GateReply, KlpJob, KlpOutcome } from '@uptide/livepatch'
import { ChannelError } from '@uptide/transport'
import type { GateChannel } from '@uptide/transport'
import type { Bench, BenchBlocker, BuildName } from './bench.js'
import type { Act, OutcomePattern, Vector } from './vectors.js'

/** A vector and a bench that do not agree: says at which act, what was expected and what came. */
export class VectorMismatch extends Error {
  override readonly name = 'VectorMismatch'
}

type Operation = Extract<Act, { readonly build: BuildName; readonly expect: OutcomePattern }>
type Ask = Extract<Act, { readonly act: 'ask' }>

const defaultStallAfterMs = 4000

class VectorRun {
  private readonly known = new Map<BuildName, { touched: boolean; bootIdBefore: string | null }>()
  private blockers: BenchBlocker[] = []
  readonly told: string[] = []

  constructor(private readonly bench: Bench) {}

  async do(act: Act): Promise<string | null> {
    switch (act.act) {
      case 'ask': return this.ask(act)
      case 'state': return this.state(act.build, act.is)
      case 'block': this.blockers.push(await this.bench.block(act.where, act.kind)); return null
      case 'release': await this.releaseAll(); return null
      case 'target': await this.bench.target(act.loaded); return null
      case 'pause': await this.bench.pause(act.ms); return null
      case 'reboot': await this.bench.reboot(); return null
      default: return this.operate(act)
    }
  }

  async releaseAll(): Promise<void> {
    for (const blocker of this.blockers.splice(0)) await blocker.release()
  }

  private job(act: Operation): KlpJob {
    const { bytes: _bytes, ...build } = this.bench.build(act.build)
    const known = this.known.get(act.build) ?? { touched: false, bootIdBefore: null }
    return {
      ...build, ...known, sizeBytes: this.bench.build(act.build).bytes.byteLength,
      ...(act.claimed ? { kernelRelease: this.bench.kernelRelease, kernelBuildId: this.bench.kernelBuildId } : {}),
      lease: { hostId: this.bench.hostId, token: String(this.bench.nextToken()), attemptId: `attempt-${act.act}` },
      limits: { stallAfterMs: act.stallAfterMs ?? defaultStallAfterMs }, intent: act.intent ?? 'apply', baking: act.baking ?? false,
    }
  }

  private async operate(act: Operation): Promise<string | null> {
    const channel = losing(await this.bench.open(), act.lose)
    const job = this.job(act)
    let touched = job.touched
    try {
      const driven = await drive(klpDrivers[act.act], job, channel, {
        before: async (step) => {
          touched ||= step === 'load'
          return true
        },
        progress: () => {},
        body: async (sha256) => (sha256 === job.sha256 ? this.bench.build(act.build).bytes : null),
        pause: (ms) => this.bench.pause(ms),
      })
      if (!driven.ended) throw new Error('nothing fences a vector off')
      this.remember(act.build, driven.outcome, touched, driven.facts?.bootId ?? null)
      this.told.push(`${act.act} ${act.build} -> ${JSON.stringify(driven.outcome)}`)
      return mismatch(driven.outcome, act.expect, (name) => this.bench.build(name).module)
    } finally {
      channel.close()
    }
  }

  private remember(name: BuildName, outcome: KlpOutcome, touched: boolean, bootId: string | null): void {
    const before = this.known.get(name)
    const cleared = outcome.kind === 'reverted' || (outcome.kind === 'failed' && outcome.touched === 'no')
    this.known.set(name, { touched: touched && !cleared, bootIdBefore: before?.bootIdBefore ?? bootId })
    if (cleared) this.known.delete(name)
  }

  private async ask(act: Ask): Promise<string | null> {
    const holder = act.locked ? await this.leased('next') : null
    const channel = await this.bench.open()
    try {
      const reply = await this.asked(channel, act)
      this.told.push(`ask ${act.verb} -> ${JSON.stringify(reply)}`)
      if (act.refused !== undefined) return !reply.ok && reply.code === act.refused ? null : `a refusal with ${act.refused}`
      if (!reply.ok) return 'an answer'
      return !act.says || reply.lines.some((line) => act.says!.test(line)) ? null : `a line like ${act.says}`
    } finally {
      channel.close()
      holder?.close()
    }
  }

  private async asked(channel: GateChannel, act: Ask): Promise<GateReply> {
    const greeting = await channel.ask({ verb: 'hello', args: ['1'], deadlineMs: 30_000 })
    if (!greeting.ok) return greeting
    if (act.lease !== undefined && act.lease !== 'none') {
      // Token 1 is older than every other that a bench hands out.
      const token = act.lease === 'stale' ? 1n : this.bench.nextToken()
      const leased = await channel.ask({ verb: 'lease', args: [act.lease === 'other-host' ? 'another-host' : this.bench.hostId, String(token), 'attempt-raw'], deadlineMs: 30_000 })
      if (!leased.ok) return leased
    }
    const body = act.body === undefined ? undefined : this.bench.build(act.body).bytes
    return channel.ask({ verb: act.verb, args: (act.args ?? []).map((arg) => this.filled(arg)), ...(body ? { body } : {}), deadlineMs: 120_000 })
  }

  private async leased(_which: 'next'): Promise<GateChannel> {
    const channel = await this.bench.open()
    await channel.ask({ verb: 'hello', args: ['1'], deadlineMs: 30_000 })
    await channel.ask({ verb: 'lease', args: [this.bench.hostId, String(this.bench.nextToken()), 'attempt-holder'], deadlineMs: 30_000 })
    return channel
  }

  private filled(arg: string): string {
    const [word, name] = arg.split(':') as [string, BuildName | undefined]
    if (word === 'RELEASE') return this.bench.kernelRelease
    if (word === 'BUILD') return this.bench.kernelBuildId ?? '-'
    if (name === undefined) return arg
    const build = this.bench.build(name)
    const filled: Readonly<Record<string, string>> = { MODULE: build.module, SHA256: build.sha256, LENGTH: String(build.bytes.byteLength) }
    return filled[word] ?? arg
  }

  private async state(name: BuildName, is: string): Promise<string | null> {
    const channel = await this.bench.open()
    try {
      const { module } = this.bench.build(name)
      await channel.ask({ verb: 'hello', args: ['1'], deadlineMs: 30_000 })
      const patches = readPatches((await channel.ask({ verb: 'patches', args: [], deadlineMs: 30_000 })).lines)
      const asked = await channel.ask({ verb: 'module', args: [module], deadlineMs: 30_000 })
      const read = asked.ok ? readModule(asked.lines, module) : null
      if (!patches.ok || read?.ok === false) return `a reading that makes sense, not ${JSON.stringify(patches.ok ? read : patches)}`
      const patch = patches.value.find((each) => each.name === module) ?? null
      const state = moduleStateOf({ patch, module: read?.value ?? null })
      this.told.push(`state ${name} -> ${state}`)
      const off = state === 'INERT' || state === 'REGISTERED'
      return state === is || (is === 'OFF' && off) ? null : `${module} ${is}, not ${state}`
    } finally {
      channel.close()
    }
  }
}

/** The same channel, which breaks at the first request with a verb. */
function losing(channel: GateChannel, lose: Operation['lose']): GateChannel {
  if (!lose) return channel
  return {
    hostKeySha256: channel.hostKeySha256,
    close: () => channel.close(),
    ask: async (request, onLine) => {
      if (request.verb !== lose.verb) return channel.ask(request, onLine)
      if (lose.when === 'after') await channel.ask(request)
      channel.close()
      throw new ChannelError('CONTACT_LOST', `the vector cut the connection ${lose.when} ${lose.verb}`, true)
    },
  }
}

function mismatch(outcome: KlpOutcome, pattern: OutcomePattern, moduleOf: (name: BuildName) => string): string | null {
  const flat = { ...('reading' in outcome ? { moduleState: outcome.reading.moduleState } : {}), ...outcome } as Readonly<Record<string, unknown>>
  for (const key of ['kind', 'code', 'touched', 'already', 'moduleState'] as const) {
    if (pattern[key] !== undefined && flat[key] !== pattern[key]) return `${key} ${String(pattern[key])}`
  }
  const { blockedIn, transitionMs, loaded } = pattern
  if (blockedIn !== undefined && !(outcome.kind === 'stalled' && outcome.blockers.some((blocker) => blocker.stack.some((frame) => frame.startsWith(`${blockedIn}+`))))) {
    return `a blocker in ${blockedIn}`
  }
  if (transitionMs !== undefined) {
    const took = flat['transitionMs']
    if (typeof took !== 'number' || took < transitionMs[0] || took > transitionMs[1]) return `a transition of ${transitionMs.join(' to ')} ms`
  }
  if (loaded !== undefined && 'reading' in outcome && [...outcome.reading.loaded].sort().join() !== loaded.map(moduleOf).sort().join()) return `exactly ${loaded.join(', ')} loaded`
  return null
}

/**
 * Runs a vector's acts in order on a bench that is clean.
 * @returns what was seen, a line an act, for a log.
 * @throws VectorMismatch at the first act that went otherwise; blockers are released in any case.
 */
export async function runVector(vector: Vector, bench: Bench): Promise<readonly string[]> {
  const run = new VectorRun(bench)
  try {
    for (const [index, act] of vector.acts.entries()) {
      const wanted = await run.do(act)
      if (wanted !== null) throw new VectorMismatch(`${bench.name}: "${vector.name}", act ${index + 1} (${act.act}): expected ${wanted}\n${run.told.join('\n')}`)
    }
    return run.told
  } finally {
    await run.releaseAll()
  }
}
