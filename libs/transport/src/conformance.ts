// What every road must do, as data: a title, and a conversation that throws where the road does otherwise. One list for
// all roads and all peers; a spec runs it (tools/src/roads). It imports no test runner, so that an agent's road written
// elsewhere can run it as well.
import { createHash } from 'node:crypto'
import type { GateReply, GateRequest } from '@uptide/livepatch'
import { ChannelError, type ChannelFault, type GateChannel } from './port.js'

/** One reachable gate, and ways to reach it wrongly. */
export interface RoadBench {
  open(signal: AbortSignal): Promise<GateChannel>
  /** The pinned key's fingerprint. */
  readonly hostKeySha256: string
  /** With another pinned key than the host's. */
  openMistrusted(signal: AbortSignal): Promise<GateChannel>
  /** With a key that the host does not let in. */
  openUninvited(signal: AbortSignal): Promise<GateChannel>
  /** Where nobody listens. */
  openNobody(signal: AbortSignal): Promise<GateChannel>
  /** Grows with every call: the fencing token of the next lease. */
  nextToken(): bigint
}

export interface RoadCase { readonly title: string; run(bench: RoadBench): Promise<void> }

const deadlineMs = 20_000
const hello: GateRequest = { verb: 'hello', args: ['1'], deadlineMs }
const ask = (verb: string, ...args: string[]): GateRequest => ({ verb, args, deadlineMs })

function must(held: boolean, says: string): asserts held {
  if (!held) throw new Error(says)
}


async function faultOf(work: Promise<unknown>): Promise<ChannelError> {
  const error = await work.then(() => null, (caught: unknown) => caught)
  must(error instanceof ChannelError, `a ChannelError was expected, and it ended with ${String(error)}`)
  return error
}

async function mustFail(work: Promise<unknown>, fault: ChannelFault, retry: boolean): Promise<void> {
  const error = await faultOf(work)
  must(error.fault === fault, `${fault} was expected, and it was ${error.fault}: ${error.message}`)
  must(error.retry === retry, `${fault} must ${retry ? '' : 'not '}be worth another try`)
}

const taken = (reply: GateReply, what: string): readonly string[] => {
  must(reply.ok, `${what} was refused: ${reply.ok ? '' : `${reply.code} ${reply.detail}`}`)
  return reply.lines
}

/** 200 KiB, the size of a usual livepatch, of every byte value: nothing on the way may translate it. */
const module = Uint8Array.from({ length: 200 * 1024 }, (_, index) => (index * 31 + (index >> 8)) & 0xff)
const moduleSha256 = createHash('sha256').update(module).digest('hex')

/** Every conversation begins with a greeting, as a driver's does. */
async function talk(bench: RoadBench, conversation: (channel: GateChannel, greeting: readonly string[]) => Promise<void>): Promise<void> {
  const channel = await bench.open(new AbortController().signal)
  try { await conversation(channel, taken(await channel.ask(hello), 'hello')) } finally { channel.close() }
}

const lease = (bench: RoadBench, channel: GateChannel): Promise<GateReply> => channel.ask(ask('lease', 'bench-roads', bench.nextToken().toString(), '00000000-0000-7000-8000-000000000001'))

export const roadCases: readonly RoadCase[] = [
  {
    title: 'says which key the host has proved to hold',
    run: (bench) => talk(bench, async (channel) => { must(channel.hostKeySha256 === bench.hostKeySha256, `it says ${channel.hostKeySha256}`) }),
  },
  {
    title: 'carries twenty requests over one channel, each with its own whole reply',
    run: (bench) => talk(bench, async (channel, [greeting]) => {
      must(greeting?.startsWith('gate=uptide version=1') === true, `it greets with ${greeting}`)
      for (let round = 0; round < 20; round++) must(taken(await channel.ask(ask('facts')), 'facts').some((line) => line.startsWith('release=')), `no release in round ${round}`)
    }),
  },
  {
    title: 'hands over each data line as it comes, in order, and the same in the reply',
    run: (bench) => talk(bench, async (channel) => {
      const heard: string[] = []
      const lines = taken(await channel.ask(ask('facts'), (line) => { heard.push(line) }), 'facts')
      must(lines.length > 3 && JSON.stringify(heard) === JSON.stringify(lines), `${heard.length} lines were handed over, the reply has ${lines.length}`)
    }),
  },
  {
    title: 'takes a refusal for an answer and goes on',
    run: (bench) => talk(bench, async (channel) => {
      const reply = await channel.ask(ask('read', '/etc/shadow'))
      must(!reply.ok && reply.code === 'PATH_REFUSED', `it answered ${JSON.stringify(reply)}`)
      taken(await channel.ask(hello), 'hello after a refusal')
    }),
  },
  {
    title: 'carries 200 KiB of bytes unchanged, and goes on',
    run: (bench) => talk(bench, async (channel) => {
      taken(await lease(bench, channel), 'lease')
      taken(await channel.ask({ ...ask('stage', moduleSha256, String(module.length)), body: module }), 'stage')
      must(taken(await channel.ask(ask('staged', moduleSha256)), 'staged').includes('staged=1'), 'the bytes did not arrive')
    }),
  },
  {
    title: 'says so when the bytes are not what was announced',
    run: (bench) => talk(bench, async (channel) => {
      taken(await lease(bench, channel), 'lease')
      const other = 'f'.repeat(64)
      const reply = await channel.ask({ ...ask('stage', other, String(module.length)), body: module })
      must(!reply.ok && reply.code === 'HASH_MISMATCH', `it answered ${JSON.stringify(reply)}`)
      must(taken(await channel.ask(ask('staged', other)), 'staged').includes('staged=0'), 'wrong bytes were kept')
    }),
  },
  {
    title: 'refuses a second request while one is under way',
    run: (bench) => talk(bench, async (channel) => {
      const first = channel.ask(hello)
      const second = await Promise.resolve().then(() => channel.ask(hello)).then(() => 'answered', () => 'refused')
      must(second === 'refused', 'the second request was sent')
      taken(await first, 'the first')
    }),
  },
  {
    title: 'holds two channels to one host at once, and only one of them may have the lease',
    run: (bench) => talk(bench, (one) => talk(bench, async (other) => {
      taken(await lease(bench, one), 'lease')
      taken(await other.ask(ask('facts')), 'facts on the other')
      const reply = await lease(bench, other)
      must(!reply.ok && reply.code === 'LOCKED', `the other session had ${JSON.stringify(reply)}`)
    })),
  },
  {
    title: 'lets go of the lease when it is closed',
    run: async (bench) => {
      await talk(bench, async (channel) => { taken(await lease(bench, channel), 'lease') })
      // The gate sees the end of its input a moment later.
      for (let round = 0; ; round++) {
        let had = false
        await talk(bench, async (channel) => { had = (await lease(bench, channel)).ok })
        if (had) return
        must(round < 50, 'the lease was never free again')
        await new Promise((done) => { setTimeout(done, 100) })
      }
    },
  },
  {
    title: 'may be closed twice, and answers CANCELLED from then on',
    run: async (bench) => {
      const channel = await bench.open(new AbortController().signal)
      channel.close()
      channel.close()
      await mustFail(channel.ask(hello), 'CANCELLED', true)
    },
  },
  {
    title: 'ends with REPLY_TIMEOUT at a request\'s deadline, and is of no use afterwards',
    run: (bench) => talk(bench, async (channel) => {
      // The gate waits for bytes that never come.
      await mustFail(channel.ask({ verb: 'stage', args: [moduleSha256, '1000'], body: module.subarray(0, 10), deadlineMs: 300 }), 'REPLY_TIMEOUT', true)
      await mustFail(channel.ask(hello), 'REPLY_TIMEOUT', true)
    }),
  },
  {
    title: 'is cancelled by its signal in mid-request',
    run: async (bench) => {
      const stop = new AbortController()
      const channel = await bench.open(stop.signal)
      const under = channel.ask(hello)
      stop.abort()
      await mustFail(under, 'CANCELLED', true)
    },
  },
  { title: 'is not opened for a signal that has come already', run: (bench) => mustFail(bench.open(AbortSignal.abort()), 'CANCELLED', true) },
  { title: 'is not opened to a host that shows another key than the pinned one', run: (bench) => mustFail(bench.openMistrusted(new AbortController().signal), 'HOST_KEY_CHANGED', false) },
  { title: 'is not opened with a key that the host does not let in', run: (bench) => mustFail(bench.openUninvited(new AbortController().signal), 'AUTH_FAILED', false) },
  { title: 'says UNREACHABLE where nobody listens', run: (bench) => mustFail(bench.openNobody(new AbortController().signal), 'UNREACHABLE', true) },
]
