import { drive, klpDrivers, probeDriver, retryOf } from '@uptide/livepatch'
import type { DriveHooks, GateReply, GateRequest, KlpJob, KlpOperation, KlpOutcome, Phase, Progress } from '@uptide/livepatch'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SimChannel } from './channel.js'
import type { FaultPlan, RoadFault } from './channel.js'
import { simBench } from './conformance/sim-bench.js'
import type { SimBench } from './conformance/sim-bench.js'
import type { BuildName } from './conformance/bench.js'
import { generationNames } from './generations.js'
import { simModule } from './modules.js'

/** A target as the control plane keeps it between attempts. */
interface Target { touched: boolean; bootIdBefore: string | null }
const fresh = (): Target => ({ touched: false, bootIdBefore: null })

const jobOf = (bench: SimBench, name: BuildName, target: Target, more: Partial<KlpJob> = {}): KlpJob => {
  const { bytes, ...build } = bench.build(name)
  return { ...build, ...target, sizeBytes: bytes.byteLength, lease: { hostId: bench.hostId, token: String(bench.nextToken()), attemptId: 'attempt' }, limits: { stallAfterMs: 3000 }, ...more }
}

interface Seen { readonly requests: GateRequest[]; readonly befores: { step: string; phase: Phase }[]; readonly progress: Progress[] }

async function attempt(bench: SimBench, operation: KlpOperation, job: KlpJob, plan: FaultPlan = () => null, target: Target = fresh()): Promise<{ outcome: KlpOutcome; seen: Seen }> {
  const seen: Seen = { requests: [], befores: [], progress: [] }
  const channel = new SimChannel(bench.gate, plan)
  const hooks: DriveHooks = {
    before: async (step, phase) => {
      seen.befores.push({ step, phase })
      if (step === 'load') {
        target.touched = true
        target.bootIdBefore ??= bench.kernel.bootId
      }
      return true
    },
    progress: (progress) => seen.progress.push(progress),
    body: async (sha256) => [bench.build('v1'), bench.build('v2'), bench.build('stall'), bench.build('hold')].find((build) => build.sha256 === sha256)?.bytes ?? null,
    pause: (ms) => bench.pause(ms),
  }
  const driven = await drive(klpDrivers[operation], job, {
    ask: (request, onLine) => {
      seen.requests.push(request)
      return channel.ask(request, onLine)
    },
  }, hooks)
  channel.close()
  if (!driven.ended) throw new Error('nothing fenced this drive off')
  return { outcome: driven.outcome, seen }
}

const loads = (bench: SimBench) => bench.gate.effects.filter((effect) => effect.verb === 'load' && effect.result === 'ok')
const apply = (bench: SimBench, name: BuildName, plan?: FaultPlan, target?: Target) => attempt(bench, 'apply', jobOf(bench, name, target ?? fresh()), plan, target)

const faultArbitrary: fc.Arbitrary<RoadFault> = fc.oneof(
  fc.constant({ kind: 'lose-before' as const }), fc.constant({ kind: 'lose-after' as const }),
  fc.record({ kind: fc.constant('delay' as const), ms: fc.integer({ min: 0, max: 700_000 }) }),
  fc.record({ kind: fc.constant('garbage' as const), lines: fc.array(fc.constantFrom('', 'patch', 'gate=uptide', 'exit=0 text=', 'staged=1', 'errno=-', 'klog at=x', 'module name=uptide_v1 state=live refcnt=9', 'x=y'), { maxLength: 3 }) }),
)
const crashArbitrary: fc.Arbitrary<RoadFault> = fc.constantFrom({ kind: 'crash-before' as const }, { kind: 'crash-after' as const })
/** For each attempt, at which request what goes wrong. */
const troubles = (fault: fc.Arbitrary<RoadFault>) => fc.array(fc.record({ at: fc.integer({ min: 0, max: 16 }), fault }), { maxLength: 6 })
const at = (index: number, fault: RoadFault): FaultPlan => (count) => (count === index ? fault : null)

describe('an attempt that breaks anywhere and is made again', () => {
  it('ends active, loaded once, whatever went wrong on the road', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...generationNames), troubles(faultArbitrary), async (generation, plans) => {
      const bench = simBench(generation)
      const target = fresh()
      for (const { at: index, fault } of plans) await apply(bench, 'v1', at(index, fault), target)
      const { outcome } = await apply(bench, 'v1', undefined, target)
      expect(outcome).toMatchObject({ kind: 'patched', reading: { moduleState: 'ACTIVE', loaded: ['uptide_v1'] } })
      expect(loads(bench)).toHaveLength(1)
      expect(bench.kernel.patches.map((patch) => [patch.module.name, patch.enabled])).toEqual([['uptide_v1', true]])
      expect(bench.gate.lockedBy).toBeNull()
    }), { verbose: 1, numRuns: 300 })
  })

  it('tells of a reboot, and loads once in each boot', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...generationNames), troubles(fc.oneof(faultArbitrary, crashArbitrary)), async (generation, plans) => {
      const bench = simBench(generation)
      let target = fresh()
      for (const { at: index, fault } of [...plans, { at: 999, fault: { kind: 'lose-before' as const } }]) {
        await bench.pause(20_000)
        const { outcome } = await apply(bench, 'v1', at(index, fault), target)
        // What the planner does with a reboot is its own affair; here the target starts anew.
        if (outcome.kind === 'rebooted') target = fresh()
      }
      const { outcome } = await apply(bench, 'v1', undefined, target)
      expect(outcome).toMatchObject({ kind: 'patched', reading: { bootId: bench.kernel.bootId } })
      const boots = loads(bench).map((effect) => effect.bootId)
      expect(new Set(boots).size).toBe(boots.length)
    }), { verbose: 1, numRuns: 200 })
  })

  it('ends absent when it is a revert', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...generationNames), troubles(faultArbitrary), async (generation, plans) => {
      const bench = simBench(generation)
      const target = fresh()
      await apply(bench, 'v1', undefined, target)
      for (const { at: index, fault } of plans) await attempt(bench, 'revert', jobOf(bench, 'v1', target), at(index, fault), target)
      const { outcome } = await attempt(bench, 'revert', jobOf(bench, 'v1', target))
      expect(outcome).toMatchObject({ kind: 'reverted', reading: { moduleState: 'ABSENT', loaded: [] } })
      expect(bench.kernel.modules.size).toBe(0)
    }), { verbose: 1, numRuns: 200 })
  })

  it('says whether it may have touched the kernel', async () => {
    const touched = async (verb: string, kind: 'lose-before' | 'lose-after') => {
      const bench = simBench('klp611')
      const { outcome } = await apply(bench, 'v1', (_index, request) => (request.verb === verb ? { kind } : null))
      return outcome.kind === 'failed' && outcome.code === 'CONTACT_LOST' && retryOf(outcome.code) === 'backoff' && outcome.touched
    }
    expect(await touched('stage', 'lose-after')).toBe('no')
    expect(await touched('load', 'lose-before')).toBe('unknown')
    expect(await touched('load', 'lose-after')).toBe('unknown')
    expect(await touched('watch', 'lose-before')).toBe('yes')
  })
})

describe('what an attempt asks', () => {
  it('commits the phase before the request that it names, and loads under a lease', async () => {
    const bench = simBench('klp61')
    const { seen } = await apply(bench, 'v1')
    expect(seen.requests.map((request) => request.verb).slice(0, 2)).toEqual(['hello', 'lease'])
    expect(seen.befores.filter(({ phase }, index, all) => all[index - 1]?.phase !== phase).map(({ step, phase }) => `${step}:${phase}`)).toEqual(['hello:checking', 'stage:staging', 'load:loading'])
    expect(seen.requests.find((request) => request.verb === 'stage')?.body?.byteLength).toBe(bench.build('v1').bytes.byteLength)
  })

  it('streams the tasks that have moved', async () => {
    const bench = simBench('klp61')
    await bench.target(true)
    await bench.block('target', 'lasting')
    const { outcome, seen } = await apply(bench, 'stall')
    expect(outcome.kind).toBe('stalled')
    expect(seen.progress.length).toBeGreaterThanOrEqual(3)
    expect(seen.progress.at(-1)).toMatchObject({ all: bench.kernel.threads.size, moved: bench.kernel.threads.size - 1 })
    expect(seen.befores.at(-2)).toEqual({ step: 'after-watch', phase: 'transitioning' })
  })

  it('changes nothing when it looks or probes', async () => {
    const bench = simBench('klp614')
    await apply(bench, 'v1')
    const before = bench.gate.effects.length
    await attempt(bench, 'look', jobOf(bench, 'v1', fresh(), { baking: true }))
    const probed = await drive(probeDriver, null, new SimChannel(bench.gate), { before: async () => true, progress: () => {}, body: async () => null, pause: async () => {} })
    expect(probed.ended && probed.outcome).toMatchObject({ kind: 'facts', gateMode: 'installed', facts: { mechanism: 'klp-consistency', kernelRelease: bench.kernelRelease, loaded: [{ name: 'uptide_v1', state: 'ACTIVE' }] } })
    expect(bench.gate.effects).toHaveLength(before)
  })

  it('stops at once when it is fenced off', async () => {
    const bench = simBench('klp611')
    const driven = await drive(klpDrivers.apply, jobOf(bench, 'v1', fresh()), new SimChannel(bench.gate), {
      before: async (step) => step !== 'load', progress: () => {}, body: async () => bench.build('v1').bytes, pause: async () => {},
    })
    expect(driven).toEqual({ ended: false, step: 'load' })
    expect(loads(bench)).toHaveLength(0)
  })

  it('does not send bytes that are not the build', async () => {
    for (const body of [null, new Uint8Array(3)]) {
      const bench = simBench('klp611')
      const driven = await drive(klpDrivers.apply, jobOf(bench, 'v1', fresh()), new SimChannel(bench.gate), { before: async () => true, progress: () => {}, body: async () => body, pause: async () => {} })
      expect(driven.ended && driven.outcome).toMatchObject({ kind: 'failed', code: 'ARTEFACT_MISSING', touched: 'no' })
    }
  })
})

describe('what an attempt makes of a host', () => {
  it('takes a module of the same name and another identity for a conflict', async () => {
    const bench = simBench('klp61')
    expect(bench.kernel.insmod(simModule({ name: 'uptide_v1', release: bench.kernelRelease, version: '0.9', objects: [] })).ok).toBe(true)
    await bench.pause(100)
    expect((await apply(bench, 'v1')).outcome).toMatchObject({ kind: 'failed', code: 'ALREADY_LOADED', touched: 'no' })
    expect((await attempt(bench, 'revert', jobOf(bench, 'v1', fresh()))).outcome).toMatchObject({ kind: 'failed', code: 'ALREADY_LOADED', touched: 'no' })
    expect(bench.kernel.patches).toHaveLength(1)
  })

  it('says that a module is pinned when the kernel never lets go', async () => {
    const bench = simBench('klp61')
    await apply(bench, 'v1')
    const module = bench.kernel.modules.get('uptide_v1')!
    Object.defineProperty(module, 'refcnt', { get: () => 1, set: () => {} })
    const from = bench.kernel.clock.nowMs()
    expect((await attempt(bench, 'revert', jobOf(bench, 'v1', fresh()))).outcome).toMatchObject({ kind: 'failed', code: 'PINNED', touched: 'yes' })
    expect(bench.kernel.clock.nowMs() - from).toBeGreaterThanOrEqual(15_000)
    expect((await apply(bench, 'v1')).outcome).toMatchObject({ kind: 'failed', code: 'PINNED', touched: 'no' })
  })

  it('shows an idle CPU as a stall without blockers', async () => {
    const bench = simBench('klp61')
    bench.kernel.idleStuck = true
    const { outcome } = await apply(bench, 'v1')
    expect(outcome).toMatchObject({ kind: 'stalled', blockers: [] })
    expect(outcome.kind === 'stalled' && outcome.tasks.moved === outcome.tasks.all && outcome.tasks.all > 0).toBe(true)
  })

  it.each([['oops', 'KERNEL_OOPS'], ['warning', 'KERNEL_WARNING'], ['hung', 'HUNG_TASKS']] as const)('takes an %s after the load for bad, and one before it for history', async (kind, code) => {
    const bench = simBench('klp61')
    bench.kernel.misbehave(kind)
    await apply(bench, 'v1')
    expect((await attempt(bench, 'look', jobOf(bench, 'v1', fresh(), { baking: true }))).outcome.kind).toBe('healthy')
    bench.kernel.misbehave(kind)
    expect((await attempt(bench, 'look', jobOf(bench, 'v1', fresh(), { baking: true }))).outcome).toMatchObject({ kind: 'unhealthy', code })
  })

  it('sees the kernel die or warn by its taint, when the log no longer tells', async () => {
    for (const [bit, code] of [[128, 'KERNEL_OOPS'], [512, 'KERNEL_WARNING']] as const) {
      const bench = simBench('klp61')
      await apply(bench, 'v1')
      bench.kernel.taint |= bit
      expect((await attempt(bench, 'look', jobOf(bench, 'v1', fresh(), { baking: true, taintBefore: 0 }))).outcome).toMatchObject({ kind: 'unhealthy', code })
      expect((await attempt(bench, 'look', jobOf(bench, 'v1', fresh(), { baking: true, taintBefore: bit }))).outcome.kind).toBe('healthy')
    }
  })

  it('asks for no change at all while another livepatch is in transition', async () => {
    const bench = simBench('klp61')
    await apply(bench, 'hold')
    await bench.target(true)
    await bench.block('target', 'lasting')
    await apply(bench, 'stall')
    const before = bench.gate.effects.length
    const tried = [await apply(bench, 'v1'), await attempt(bench, 'revert', jobOf(bench, 'hold', fresh()))]
    for (const { outcome } of tried) expect(outcome).toMatchObject({ kind: 'failed', code: 'TRANSITION_BUSY', detail: 'uptide_stall is in transition', touched: 'no' })
    expect(bench.gate.effects.slice(before).map((effect) => effect.verb)).toEqual(['lease', 'lease'])
  })

  it('sees a tracer in the way', async () => {
    const bench = simBench('klp611')
    bench.kernel.ftraceEnabled = false
    expect((await apply(bench, 'v1')).outcome).toMatchObject({ kind: 'failed', code: 'HOOK_CONFLICT', touched: 'no' })
  })

  it('does not try an unsigned build where the host would refuse it', async () => {
    for (const [strict, code] of [[{ sigEnforce: true }, 'SIGNATURE_REJECTED'], [{ lockdown: 'integrity' as const }, 'LOCKDOWN']] as const) {
      const bench = simBench('klp611', strict)
      expect((await attempt(bench, 'apply', jobOf(bench, 'v1', fresh(), { signed: false }))).outcome).toMatchObject({ kind: 'skipped', code })
      expect(loads(bench)).toHaveLength(0)
    }
  })

  it('takes a build for another build of the same release for another kernel', async () => {
    const bench = simBench('klp611')
    const job = jobOf(bench, 'v1', fresh(), { kernelBuildId: 'ffffffffffffffffffffffffffffffffffffffff' })
    expect((await attempt(bench, 'apply', job)).outcome).toMatchObject({ kind: 'skipped', code: 'KERNEL_MISMATCH' })
  })

  it('finishes a revert that a nudge lets through', async () => {
    const bench = simBench('klp51')
    await apply(bench, 'hold')
    await bench.block('hold', 'interruptible')
    expect((await attempt(bench, 'revert', jobOf(bench, 'hold', fresh()))).outcome).toMatchObject({ kind: 'stalled', reading: { moduleState: 'UNPATCHING' } })
    expect((await attempt(bench, 'nudge', jobOf(bench, 'hold', fresh(), { intent: 'revert' }))).outcome).toMatchObject({ kind: 'reverted', reading: { moduleState: 'ABSENT' } })
  })
})

describe('what the kernel says in the end counts, whatever was said before', () => {
  /** The same host, whose data lines pass through a hand that may change them. */
  const driveThrough = async (bench: SimBench, operation: KlpOperation, name: BuildName, change: (request: GateRequest, reply: GateReply, count: number) => GateReply, more: Partial<KlpJob> = {}) => {
    const inner = new SimChannel(bench.gate)
    const counts = new Map<string, number>()
    const channel = {
      ask: async (request: GateRequest): Promise<GateReply> => {
        const count = (counts.get(request.verb) ?? 0) + 1
        counts.set(request.verb, count)
        return change(request, await inner.ask(request), count)
      },
    }
    const driven = await drive(klpDrivers[operation], jobOf(bench, name, fresh(), more), channel, { before: async () => true, progress: () => {}, body: async () => bench.build(name).bytes, pause: (ms) => bench.pause(ms) })
    inner.close()
    if (!driven.ended) throw new Error('nothing fenced this drive off')
    return { outcome: driven.outcome, asked: counts }
  }
  const lines = (reply: GateReply, change: (line: string) => string): GateReply => (reply.ok ? { ok: true, lines: reply.lines.map(change) } : reply)

  it('an object that is loaded and not patched is a failure, asked for twice', async () => {
    const bench = simBench('klp61')
    await bench.target(true)
    const { outcome, asked } = await driveThrough(bench, 'apply', 'v1', (request, reply) => (request.verb === 'patches' ? lines(reply, (line) => line.replace('name=lab_target patched=1', 'name=lab_target patched=0')) : reply))
    expect(outcome).toMatchObject({ kind: 'failed', code: 'OBJECT_UNPATCHED', touched: 'yes' })
    expect(asked.get('patches')).toBe(3)
  })

  it('an object that came between two readings is not', async () => {
    const bench = simBench('klp61')
    await bench.target(true)
    const { outcome } = await driveThrough(bench, 'apply', 'v1', (request, reply, count) => (request.verb === 'patches' && count === 2 ? lines(reply, (line) => line.replace('name=lab_target patched=1', 'name=lab_target patched=0')) : reply))
    expect(outcome.kind).toBe('patched')
  })

  it('another boot at the end is a reboot, not a success', async () => {
    const bench = simBench('klp61')
    const other = '00000000-0000-4000-a000-000000000000'
    const { outcome } = await driveThrough(bench, 'apply', 'v1', (request, reply, count) => (request.verb === 'facts' && count === 2 ? lines(reply, (line) => line.replace(/^bootid=.*/, `bootid=${other}`)) : reply))
    expect(outcome).toMatchObject({ kind: 'rebooted', bootIdBefore: bench.kernel.bootId, bootIdAfter: other, touched: 'yes' })
  })

  it('an exit status of 0 does not make a patch, and another does not unmake it', async () => {
    const refused = simBench('klp61')
    const lied = await driveThrough(refused, 'apply', 'bad_symbol', (request, reply) => (request.verb === 'load' ? lines(reply, (line) => line.replace(/^exit=1 text=.*/, 'exit=0 text=')) : reply))
    expect(lied.outcome).toMatchObject({ kind: 'failed', code: 'UNKNOWN_STATE', touched: 'no' })
    const worked = simBench('klp61')
    const doubted = await driveThrough(worked, 'apply', 'v1', (request, reply) => (request.verb === 'load' ? lines(reply, (line) => line.replace(/^exit=0 text=.*/, 'exit=1 text=Killed')) : reply))
    expect(doubted.outcome).toMatchObject({ kind: 'patched', already: false })
  })

  it('a module that loads and patches nothing is no livepatch', async () => {
    const bench = simBench('klp61')
    const { outcome } = await driveThrough(bench, 'apply', 'v1', (request, reply, count) => (request.verb === 'patches' && count === 2 ? { ok: true, lines: [] } : request.verb === 'module' && reply.ok ? lines(reply, (line) => line.replace('refcnt=1', 'refcnt=0')) : reply))
    expect(outcome).toMatchObject({ kind: 'failed', code: 'NOT_A_LIVEPATCH', touched: 'yes' })
  })

  it('EINVAL on disabling is read again and not believed', async () => {
    const bench = simBench('klp61')
    await apply(bench, 'v1')
    const { outcome, asked } = await driveThrough(bench, 'revert', 'v1', (request, reply) => (request.verb === 'write' ? { ok: true, lines: ['errno=EINVAL'] } : reply))
    expect(outcome).toMatchObject({ kind: 'reverted', reading: { moduleState: 'ABSENT' } })
    expect(asked.get('write')).toBe(1)
  })

  it('a patch that stays on however often it is disabled is said to be on', async () => {
    const bench = simBench('klp61')
    await apply(bench, 'v1')
    const seen = await driveThrough(bench, 'revert', 'v1', (request, reply) => {
      if (request.verb !== 'patches') return reply
      const { srcversion, moduleBuildId } = bench.build('v1')
      return { ok: true, lines: [`patch name=uptide_v1 enabled=1 transition=0 refcnt=1 srcversion=${srcversion} build=${moduleBuildId}`] }
    })
    expect(seen.outcome).toMatchObject({ kind: 'failed', code: 'STILL_ACTIVE', touched: 'yes' })
    expect(seen.asked.get('write')).toBe(3)
  })

  it('a transition that someone turned round under us is no success', async () => {
    const bench = simBench('klp61')
    await bench.target(true)
    const blocker = await bench.block('target', 'lasting')
    const { outcome } = await driveThrough(bench, 'apply', 'stall', (request, reply) => {
      if (request.verb === 'watch') {
        bench.kernel.writeEnabled('uptide_stall', '0')
        bench.kernel.clock.sleep(3000).catch(() => {})
      }
      return reply
    })
    await blocker.release()
    expect(outcome).toMatchObject({ kind: 'failed', code: 'REVERSED', touched: 'yes' })
  })
})

it('a host that answers anything at all gets an outcome, never an exception, and is asked for a bounded time', async () => {
  const bootid = '01234567-89ab-cdef-0123-456789abcdef'
  const lines: readonly string[] = [
    'gate=uptide version=1 mode=installed', `bootid=${bootid} release=6.1.0-56-cloud-amd64 build=- arch=x86_64 uptime=1.0`, `bootid=${bootid}`, 'release=6.1.0-56-cloud-amd64', 'arch=x86_64', 'taint=0', 'klp=1', 'patchstate=1',
    'patch name=uptide_v1 enabled=1 transition=1 srcversion=- build=-', 'patch name=uptide_v1 enabled=0 transition=1', 'patch name=uptide_v1 enabled=1 transition=0', 'patch name=other enabled=1 transition=1',
    'object patch=uptide_v1 name=lab_target patched=0', 'module name=uptide_v1 state=live refcnt=0', 'module name=uptide_v1 state=live refcnt=1', 'module name=lab_target state=live refcnt=0',
    'staged=0', 'staged=1', 'exit=0 text=', 'exit=1 text=File%20exists', 'errno=-', 'errno=EINVAL', 'nudged=1', 'progress age=1 transition=1 enabled=1 all=2 moved=1', 'task tid=1 pid=1 comm=x kernel=0 state=S stack=f+0x1',
    `bootid=${bootid} taint=0 load1=0 uptime=1 oops=0 warn=0 hung=0`, 'klog at=1.0 text=x', '%%%', '__proto__=1',
  ]
  /** Honest greetings now and then, so that the walk gets beyond the first step. */
  const usual: Readonly<Record<string, readonly string[]>> = { hello: lines.slice(0, 2), facts: [lines[2]!, ...lines.slice(3, 8)], lease: [], stage: [] }
  const said = fc.oneof({ weight: 8, arbitrary: fc.constant(null) }, { weight: 30, arbitrary: fc.array(fc.constantFrom(...lines), { maxLength: 3 }) }, { weight: 1, arbitrary: fc.constantFrom('NO_MODULE', 'NOT_SUPPORTED', 'EVIL', 'LOCKED') })
  await fc.assert(fc.asyncProperty(fc.constantFrom<KlpOperation>('apply', 'look', 'nudge', 'reverse', 'revert'), fc.array(said, { minLength: 1, maxLength: 40 }), fc.boolean(), async (operation, script, touched) => {
    const bench = simBench('klp61')
    let count = 0
    const channel = {
      ask: async (request: GateRequest): Promise<GateReply> => {
        const next = script[count++ % script.length] ?? null
        const reply = usual[request.verb] ?? next ?? []
        return typeof reply === 'string' ? { ok: false, code: reply, detail: 'x', lines: [] } : { ok: true, lines: reply }
      },
    }
    const job = jobOf(bench, 'v1', { touched, bootIdBefore: bootid }, { kernelRelease: '6.1.0-56-cloud-amd64' })
    const driven = await drive(klpDrivers[operation], job, channel, { before: async () => true, progress: () => {}, body: async () => bench.build('v1').bytes, pause: async () => {} })
    expect(driven.ended && typeof driven.outcome.kind).toBe('string')
  }), { verbose: 1, numRuns: 1500 })
})
