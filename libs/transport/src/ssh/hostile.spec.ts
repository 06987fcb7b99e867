// Every way a host can misbehave ends in its own typed fault, within its deadline, with bounded memory.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ChannelError, type ChannelFault, type SshAddress } from '../port.js'
import { hostileKey, type HostileHost, startHostile, startTcp, tcpBehaviours } from '../testing/hostile-sshd.js'
import { fetchHostKey, fingerprint, parseHostKey } from './host-key.js'
import { sshRoad } from './road.js'

const short = { tcpMs: 300, readyMs: 700, channelMs: 400, greetingMs: 600, silenceMs: 400 }
/** Nothing may take longer than all its deadlines together. */
const endsWithinMs = 4_000
const road = sshRoad(short)
const hello = { verb: 'hello', args: ['1'], deadlineMs: 500 }
let host: HostileHost

const address = (user: string, over: Partial<SshAddress> = {}): SshAddress => ({ host: '127.0.0.1', port: host.port, user, privateKey: hostileKey, hostKey: host.hostKey, gate: { mode: 'installed' }, ...over })

async function faultOf(work: Promise<unknown>): Promise<ChannelError> {
  const began = Date.now()
  const error = await work.then(() => null, (caught: unknown) => caught)
  expect(Date.now() - began).toBeLessThan(endsWithinMs)
  expect(error).toBeInstanceOf(ChannelError)
  return error as ChannelError
}

const converse = async (to: SshAddress): Promise<unknown> => {
  const channel = await road.open(to, new AbortController().signal)
  try { return await channel.ask(hello) } finally { channel.close() }
}

beforeAll(async () => { host = await startHostile() })
afterAll(async () => { await host.close() })

const faults: readonly (readonly [string, ChannelFault])[] = [
  ['auth-refused', 'AUTH_FAILED'], ['auth-keyboard', 'AUTH_FAILED'], ['auth-stalls', 'CONNECT_TIMEOUT'], ['channel-refused', 'CHANNEL_REFUSED'],
  ['exec-refused', 'CHANNEL_REFUSED'], ['exec-stalls', 'CHANNEL_REFUSED'], ['silent', 'REPLY_TIMEOUT'], ['nonsense', 'GATE_MISSING'], ['json', 'GATE_MISSING'],
  ['wrong-nonce', 'GATE_MISSING'], ['speaks-first', 'GATE_MISSING'], ['exits', 'GATE_MISSING'], ['exits-127', 'GATE_MISSING'], ['signalled', 'GATE_MISSING'],
  ['wrong-count', 'PROTOCOL'], ['binary', 'GATE_MISSING'], ['never-ends', 'REPLY_TIMEOUT'], ['drips', 'REPLY_TIMEOUT'], ['closes-mid-reply', 'CONTACT_LOST'], ['endless-line', 'GATE_MISSING'],
  ['line-flood', 'GATE_MISSING'], ['stdout-flood', 'GATE_MISSING'], ['reply-flood', 'TOO_MUCH_OUTPUT'], ['stderr-flood', 'TOO_MUCH_OUTPUT'],
]

describe('a hostile host', () => {
  for (const [user, fault] of faults) {
    it(`that does "${user}" ends in ${fault}`, async () => {
      const error = await faultOf(converse(address(user)))
      expect(error.fault, error.message).toBe(fault)
      expect(error.message).toContain('127.0.0.1')
      expect(error.message.length).toBeLessThan(600)
    })
  }

  for (const [says, behave] of Object.entries(tcpBehaviours)) {
    it(`that ${says} ends in a typed fault`, async () => {
      const server = await startTcp(behave)
      try { expect(['CONNECT_TIMEOUT', 'UNREACHABLE', 'PROTOCOL']).toContain((await faultOf(converse(address('well', { port: server.port })))).fault) } finally { await server.close() }
    })
  }

  it('that floods costs no more memory than the caps', async () => {
    const before = process.memoryUsage().rss
    await Promise.all(Array.from({ length: 6 }, (_, index) => faultOf(converse(address(index % 2 ? 'stderr-flood' : 'reply-flood')))))
    // 16 MiB a session, six sessions, and what the flooding side in this same process holds.
    expect((process.memoryUsage().rss - before) / 1024 / 1024).toBeLessThan(400)
  })

  it('that shows another key than the pinned one is never spoken to', async () => {
    const other = await startHostile()
    try {
      const error = await faultOf(converse(address('well', { port: other.port })))
      expect([error.fault, error.retry]).toEqual(['HOST_KEY_CHANGED', false])
    } finally { await other.close() }
  })

  it('that has no pinned key is never spoken to', async () => {
    expect((await faultOf(converse(address('well', { hostKey: 'ssh-ed25519 nonsense' })))).fault).toBe('HOST_KEY_UNKNOWN')
  })

  it('that is not there is unreachable', async () => {
    expect((await faultOf(converse(address('well', { port: 1 })))).fault).toBe('UNREACHABLE')
  })

  it('whose words would steer a terminal is quoted without them', async () => {
    const channel = await road.open(address('terminal'), new AbortController().signal)
    const reply = await channel.ask(hello)
    channel.close()
    expect(reply).toMatchObject({ ok: false, code: 'BAD_REQUEST', detail: 'evil' })
  })

  it('that asks for forwarding gets none, and the conversation goes on', async () => {
    expect(await converse(address('asks-back'))).toMatchObject({ ok: true, lines: ['gate=uptide version=1'] })
  })

  it('is left when we are told to stop', async () => {
    const stop = new AbortController()
    const channel = await road.open(address('silent'), stop.signal)
    setTimeout(() => { stop.abort() }, 50)
    expect((await faultOf(channel.ask({ ...hello, deadlineMs: 30_000 }))).fault).toBe('CANCELLED')
    channel.close()
    channel.close()
  })
})

describe('the SSH road', () => {
  it('fetches a host key without giving a credential away', async () => {
    const shown = await fetchHostKey('127.0.0.1', host.port, new AbortController().signal)
    expect(shown.hostKey).toBe(host.hostKey)
    expect(shown.hostKeySha256).toBe(fingerprint(parseHostKey(host.hostKey)?.blob ?? Buffer.alloc(0)))
  })

  it('leaves no socket behind after many sessions, and holds many at once', async () => {
    const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
    const before = sockets()
    await Promise.all(Array.from({ length: 60 }, () => converse(address('well'))))
    await sleep(500)
    expect(sockets()).toBeLessThanOrEqual(before + 2)
  })
})
