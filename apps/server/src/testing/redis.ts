// A real redis-server for specs, on loopback, with an append-only file in a folder of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

const upMaxMs = 10_000

export interface RedisServer {
  readonly url: string
  start(): Promise<void>
  /** kill -9; what it had written down stays for the next start. */
  kill(): Promise<void>
  /** One command, as redis-cli would send it; answers the reply's first line. */
  command(...words: readonly string[]): Promise<string>
  remove(): Promise<void>
}

/** @param settings further settings, as `--name value` pairs; later ones win. */
export async function redisServer(settings: readonly string[] = []): Promise<RedisServer> {
  const dir = mkdtempSync(path.join(tmpdir(), 'uptide-redis-'))
  const port = await freePort()
  let child: ChildProcess | null = null
  const command = (...words: readonly string[]): Promise<string> => new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1', () => { socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`) })
    socket.once('data', (chunk) => { socket.destroy(); done(chunk.toString('utf8').split('\r\n')[0] ?? '') })
    socket.once('error', fail)
  })
  const kill = async (): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  return {
    url: `redis://127.0.0.1:${port}/0`, command, kill,
    start: async () => {
      child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--appendonly', 'yes', '--maxmemory-policy', 'noeviction', '--save', '', ...settings], { stdio: 'ignore' })
      await once(child, 'spawn')
      for (const until = Date.now() + upMaxMs; Date.now() < until; await sleep(25)) if (await command('PING').catch(() => '') === '+PONG') return
      throw new Error('redis-server did not come up')
    },
    remove: async () => { await kill(); rmSync(dir, { recursive: true, force: true }) },
  }
}
