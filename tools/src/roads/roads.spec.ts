// One suite over every road and every peer: simulated hosts behind the in-process SSH server, and the real gate behind a
// real OpenSSH sshd, as a forced command and sent ahead. The same on real kernels: tools/src/real.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GateStream, jumpingClock, seeded, SimGate, SimKernel } from '@uptide/fleet-sim'
import { checkPrivateKey, fetchHostKey, fingerprint, makePrivateKey, parseHostKey, roadCases, type RoadBench, serveSsh, type SshAddress, type SshServer, sshRoad } from '@uptide/transport'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Laid, layFixture } from '../bench/fixture.js'
import { freePort } from '../free-port.js'

const road = sshRoad()
const stranger = makePrivateKey()

/** Wrong addresses are the right one with one part exchanged. */
function benchOf(address: SshAddress, nobody: number): RoadBench {
  let token = 0n
  const other = checkPrivateKey(makePrivateKey())
  const pinned = parseHostKey(address.hostKey)
  if (!other.ok || !pinned) throw new Error('a key of the bench cannot be read')
  return {
    open: (signal) => road.open(address, signal),
    hostKeySha256: fingerprint(pinned.blob),
    openMistrusted: (signal) => road.open({ ...address, hostKey: other.publicKey }, signal),
    openUninvited: (signal) => road.open({ ...address, privateKey: stranger }, signal),
    openNobody: (signal) => road.open({ ...address, port: nobody }, signal),
    nextToken: () => (token += 1n),
  }
}

function conforms(bench: () => RoadBench): void {
  for (const { title, run } of roadCases) it(title, () => run(bench()))
}

describe('the SSH road to a simulated host', () => {
  let server: SshServer
  let bench: RoadBench
  beforeAll(async () => {
    const privateKey = makePrivateKey()
    const client = checkPrivateKey(privateKey)
    if (!client.ok) throw new Error(client.says)
    const gate = new SimGate(new SimKernel({ generation: 'klp61', clock: jumpingClock(), chance: seeded(1) }))
    server = await serveSsh({
      clientKey: client.publicKey, knows: () => true,
      session: (channel) => {
        const stream = new GateStream(gate.session(), (text) => { channel.write(text) }, (exit) => { channel.exit(exit); channel.end() })
        channel.on('data', (chunk: Buffer) => { void stream.push(chunk) })
        channel.on('close', () => { stream.close() })
        channel.on('error', () => { stream.close() })
      },
    })
    bench = benchOf({ host: '127.0.0.1', port: server.port, user: 'sim', privateKey, hostKey: server.hostKey, gate: { mode: 'installed' } }, await freePort('127.0.0.1'))
  })
  afterAll(async () => { await server.close() })
  conforms(() => bench)
})

for (const mode of ['installed', 'zero-install'] as const) {
  // Each mode has an sshd and a host of its own: the fencing floor of the one must not meet the tokens of the other.
  describe(`the SSH road to OpenSSH with the gate ${mode === 'installed' ? 'behind a forced command' : 'sent ahead'}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'uptide-roads-'))
    const host = '127.1.0.1'
    let laid: Laid
    let sshd: ChildProcess
    let bench: RoadBench
    beforeAll(async () => {
      const port = await freePort(host)
      laid = layFixture(dir, 1, () => host, { address: host, port })
      if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
      sshd = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', laid.sshdConfig], { stdio: 'ignore' })
      const gate = mode === 'installed' ? { mode } : { mode, text: readFileSync(laid.gate, 'utf8') }
      bench = benchOf({ host, port, user: userInfo().username, privateKey: readFileSync(laid.clientKey, 'utf8'), hostKey: laid.hostKey, gate }, await freePort(host))
      await untilListens(host, port)
    })
    afterAll(async () => {
      sshd.kill('SIGTERM')
      await once(sshd, 'exit')
      rmSync(dir, { recursive: true, force: true })
    })
    conforms(() => bench)
  })
}

/** sshd is up in a fraction of a second; ten are a broken machine. */
async function untilListens(host: string, port: number): Promise<void> {
  for (const until = Date.now() + 10_000; Date.now() < until;) {
    try { await fetchHostKey(host, port, AbortSignal.timeout(2_000)); return } catch { await sleep(100) }
  }
  throw new Error('sshd did not come up')
}
