import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newId } from '../ids.js'
import { openStore } from '../open.js'
import { migrationsFolder } from '../testing/postgres.js'
import { type EmbeddedPostgres, startEmbedded } from './start.js'

let dir: string
const running: EmbeddedPostgres[] = []
const start = async (more: { port?: number } = {}): Promise<EmbeddedPostgres> => {
  const server = await startEmbedded({ dir, ...more })
  running.push(server)
  return server
}

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'uptide-embedded-'))
  chmodSync(dir, 0o755)
})
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop().catch(() => {})
  rmSync(dir, { recursive: true, force: true })
})

async function query<T extends object>(url: string, text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try { return (await client.query<T>(text)).rows } finally { await client.end() }
}

// An orphan that has ended stays a zombie until init takes notice.
const isAlive = (pid: number): boolean => { try { return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) } catch { return false } }
const untilGone = async (pid: number): Promise<void> => { for (let i = 0; i < 400 && isAlive(pid); i++) await sleep(25) }

/** A process of ours that starts the server and stays, as `npm start` does. */
async function otherProcess(): Promise<{ pid: number; server: { url: string; pid: number; adopted: boolean }; kill(signal: NodeJS.Signals): Promise<void> }> {
  const program = `import { startEmbedded } from '@uptide/store'
    const server = await startEmbedded({ dir: process.argv[1] })
    console.log(JSON.stringify({ url: server.url, pid: server.pid, adopted: server.adopted }))
    process.on('SIGTERM', async () => { await server.stop(); process.exit(0) })
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, dir], { cwd: fileURLToPath(new URL('../..', import.meta.url)), stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  for await (const chunk of child.stdout!) { said += String(chunk); if (said.includes('\n')) break }
  return { pid: child.pid!, server: JSON.parse(said) as never, kill: async (signal) => { const gone = once(child, 'exit'); child.kill(signal); await gone } }
}

describe('the embedded PostgreSQL', () => {
  it('starts from nothing, is durable, listens on this machine only, and asks for its password', async () => {
    const server = await start()
    expect(await query(server.url, `SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS sync, current_setting('listen_addresses') AS at, current_setting('unix_socket_directories') AS sockets, current_setting('data_checksums') AS checksums`))
      .toEqual([{ major: 18, fsync: 'on', sync: 'on', at: '127.0.0.1', sockets: '', checksums: 'on' }])
    const wrong = new URL(server.url)
    wrong.password = 'guess'
    await expect(query(wrong.toString(), 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
    expect(statSync(path.join(server.folder, 'password')).mode & 0o777).toBe(0o600)
    expect(statSync(path.join(server.folder, 'data')).mode & 0o777).toBe(0o700)
    expect(execFileSync('ps', ['-ww', '-eo', 'args'], { encoding: 'utf8' })).not.toContain(readFileSync(path.join(server.folder, 'password'), 'utf8').trim())
    if (process.getuid?.() === 0) expect(statSync(`/proc/${server.pid}`).uid).not.toBe(0)
  })

  it('keeps its data, its password and its port between starts', async () => {
    const first = await start()
    await query(first.url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)')
    await first.stop()
    expect(isAlive(first.pid)).toBe(false)
    const second = await start()
    expect(second.adopted).toBe(false)
    expect(second.url).toBe(first.url)
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 7 }])
  })

  it('loses no acknowledged commit when its server is killed under load, says that it died, and starts again', async () => {
    const server = await start()
    await query(server.url, 'CREATE TABLE load (writer int, n int)')
    const acknowledged = new Map<number, number>()
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      const client = new pg.Client({ connectionString: server.url })
      client.on('error', () => {})
      await client.connect()
      try { for (let n = 1; ; n++) { await client.query('INSERT INTO load VALUES ($1, $2)', [writer, n]); acknowledged.set(writer, n) } } catch { /* The server is gone. */ }
    })
    await sleep(700)
    process.kill(server.pid, 'SIGKILL')
    await Promise.all(writers)
    expect(await server.died).toMatch(/has ended.*postgres\.log/)
    const again = await start()
    expect(again.adopted).toBe(false)
    expect(again.url).toBe(server.url)
    for (const [writer, n] of acknowledged) {
      const [row] = await query<{ kept: number; most: number }>(again.url, `SELECT count(*)::int AS kept, max(n) AS most FROM load WHERE writer = ${writer}`)
      expect(row!.kept).toBe(row!.most)
      expect(row!.kept).toBeGreaterThanOrEqual(n)
    }
    expect([...acknowledged.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(50)
  })

  it('is found again by an open store after it was killed and started again', async () => {
    const server = await start()
    const store = await openStore({ url: server.url, migrations: migrationsFolder, poolMax: 3 })
    const woken: string[] = []
    const stop = store.listen((channel) => { woken.push(channel) })
    await store.putSetting('before', { n: 1 })
    process.kill(server.pid, 'SIGKILL')
    // A backend outlives its postmaster until it next looks, so a write may still be accepted for a moment (and is then kept).
    const refused = async (): Promise<boolean> => store.putSetting('during', { n: 1 }).then(() => false, () => true)
    let gone = await refused()
    for (let i = 0; i < 100 && !gone; i++) { await sleep(50); gone = await refused() }
    expect(gone).toBe(true)
    await untilGone(server.pid)
    await start()
    woken.length = 0
    let answered: unknown = null
    for (let i = 0; i < 50 && answered === null; i++) { answered = await store.getSetting('before').catch(() => null); if (answered === null) await sleep(100) }
    expect(answered).toEqual({ n: 1 })
    await store.addToken({ id: newId(), name: 'after', hash: Buffer.from('h') }, 'token:spec')
    for (let i = 0; i < 100 && !woken.includes('uptide_events'); i++) await sleep(50)
    expect(woken).toContain('uptide_events')
    expect(await store.verifyEvents()).toMatchObject({ ok: true, count: 1 })
    await stop()
    await store.close()
  })

  it('is adopted when the process that started it was killed, and then stopped by the one that adopted it', async () => {
    const other = await otherProcess()
    await query(other.server.url, 'CREATE TABLE mine (n int)')
    await other.kill('SIGKILL')
    expect(isAlive(other.server.pid)).toBe(true)
    const server = await start()
    expect(server).toMatchObject({ adopted: true, pid: other.server.pid, url: other.server.url })
    expect(await query(server.url, 'SELECT * FROM mine')).toEqual([])
    await server.stop()
    await untilGone(server.pid)
    expect(isAlive(server.pid)).toBe(false)
  })

  it('is shared by two processes, and stopped by the last one that leaves', async () => {
    const other = await otherProcess()
    const server = await start()
    expect(server).toMatchObject({ adopted: true, pid: other.server.pid })
    await other.kill('SIGTERM')
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await server.stop()
    expect(isAlive(server.pid)).toBe(false)
  })

  it('is made once when several processes start on an empty folder at the same time', async () => {
    const others = await Promise.all([otherProcess(), otherProcess(), otherProcess()])
    expect(new Set(others.map((one) => one.server.pid)).size).toBe(1)
    expect(others.filter((one) => !one.server.adopted)).toHaveLength(1)
    for (const one of others) await one.kill('SIGTERM')
    expect(isAlive(others[0]!.server.pid)).toBe(false)
  })

  it('starts after everything was killed: a stale pid file, a stale lock, a half-made cluster', async () => {
    const other = await otherProcess()
    await query(other.server.url, 'CREATE TABLE kept (n int)')
    await other.kill('SIGKILL')
    process.kill(other.server.pid, 'SIGKILL')
    await untilGone(other.server.pid)
    writeFileSync(path.join(dir, 'lock'), '999999-1')
    mkdirSync(path.join(dir, 'making'), { recursive: true })
    // The number now belongs to somebody else who is alive: this very process.
    const pidFile = path.join(dir, 'data/postmaster.pid')
    writeFileSync(pidFile, readFileSync(pidFile, 'utf8').replace(/^\d+/, String(process.pid)))
    const server = await start()
    expect(server.adopted).toBe(false)
    expect(await query(server.url, 'SELECT * FROM kept')).toEqual([])
  })

  it('refuses a folder of another major version, and says what to do', async () => {
    const server = await start()
    await server.stop()
    writeFileSync(path.join(server.folder, 'data/PG_VERSION'), '16\n')
    await expect(start()).rejects.toThrow(/made by PostgreSQL 16, and this is PostgreSQL 18\. Dump it .* or set DATABASE_URL/)
  })

  it('takes another port when the last one is taken, unless that port was asked for', async () => {
    const server = await start()
    await server.stop()
    const taken = (await import('node:net')).createServer().listen(Number(new URL(server.url).port), '127.0.0.1')
    await once(taken, 'listening')
    const second = await start()
    expect(second.url).not.toBe(server.url)
    await second.stop()
    await expect(start({ port: Number(new URL(server.url).port) })).rejects.toThrow(/cannot listen on 127\.0\.0\.1/)
    taken.close()
  })

  it.runIf(process.getuid?.() === 0)('run by root, finds a place for its data when its account cannot reach the folder', async () => {
    chmodSync(dir, 0o700)
    const server = await start()
    expect(server.folder).toMatch(/^\/var\/lib\/uptide\/data-/)
    expect(readFileSync(path.join(dir, 'WHERE'), 'utf8')).toContain(server.folder)
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await server.stop()
    rmSync(server.folder, { recursive: true, force: true })
  })

  it.runIf(process.getuid?.() === 0)('runs as well for a user that is not root', async () => {
    const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }))
    execFileSync('chown', [String(uid), dir])
    const program = `import { startEmbedded } from '@uptide/store'
      const server = await startEmbedded({ dir: process.argv[1] }); console.log(server.pid, server.folder === process.argv[1]); await server.stop()`
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', program, dir], { cwd: fileURLToPath(new URL('../..', import.meta.url)), uid, gid: uid, encoding: 'utf8' })
    expect(said).toMatch(/^\d+ true\n$/)
  })
})
