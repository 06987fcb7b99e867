import { spawn } from 'node:child_process'
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { processIdentity, withLock } from './lock.js'
import { machineRuns, qemuArgs, readyLine, stopMachine } from './qemu.js'
import type { Machine } from './qemu.js'
import { quoted, sshArgs } from './ssh.js'

const folders: string[] = []
const folder = (): string => {
  const made = mkdtempSync(path.join(os.tmpdir(), 'lab-spec-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const each of folders.splice(0)) rmSync(each, { recursive: true, force: true })
})

const machine: Machine = { name: 'lab-1', uuid: 'f0f0', dir: '/nowhere', port: 22_201, memMb: 256, smp: 1, accel: 'tcg', append: ['lockdown=integrity'] }

describe('A virtual machine', () => {
  test('is reached from 127.0.0.1 only and reaches nothing itself', () => {
    const network = qemuArgs(machine).filter((word) => word.includes('hostfwd') || word.startsWith('user,'))
    expect(network).toEqual(['user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:22201-:22'])
    expect(qemuArgs(machine).join(' ')).not.toMatch(/-monitor|-vnc|-gdb|-s\b|0\.0\.0\.0/)
  })

  test('gets the lab\'s words on its kernel\'s command line, as one argument', () => {
    const args = qemuArgs(machine)
    expect(args[args.indexOf('-append') + 1]).toMatch(/^console=ttyS0 .* lockdown=integrity$/)
  })

  test('is ready at its last READY line: a reboot prints another, and nothing else counts', () => {
    const id = (digit: string): string => `${digit.repeat(8)}-1111-2222-3333-444444444444`
    expect(readyLine(`LAB-READY ${id('a')} 6.1.0\r\nboot\nLAB-READY ${id('b')} 6.1.0-50\r\n`)).toEqual({ bootId: id('b'), release: '6.1.0-50' })
    expect(readyLine(`x LAB-READY ${id('a')} 6.1.0\nLAB-READY soon\n`)).toBeUndefined()
  })

  test('is not confused with another process: one that is no QEMU, or bears another mark, is left alone', async () => {
    const other = spawn('sleep', ['60'])
    const identity = await processIdentity(other.pid as number) as string
    expect(identity).toMatch(/^\d+ \d+$/)
    expect(await machineRuns(identity, '60')).toBe(false)
    expect(await stopMachine(identity, '60')).toBe(false)
    expect(await stopMachine(`${other.pid} 1`, '60')).toBe(false)
    expect(other.exitCode).toBeNull()
    expect(await processIdentity(other.pid as number)).toBe(identity)
    other.kill()
  })
})

test('ssh reads nothing of the user\'s own configuration and pins the host\'s key; words arrive as they are', () => {
  const args = sshArgs({ name: 'lab-1', kernelKey: '6.1', kernelRelease: 'x', address: '127.0.0.1', port: 1, user: 'root', privateKeyPath: '/a b/id', hostKey: 'k', consoleLog: '', labDir: '/a b' })
  expect(args).toContain('StrictHostKeyChecking=yes')
  expect(args).toContain('UserKnownHostsFile="/a b/hosts/lab-1/known_hosts"')
  expect(args.slice(0, 2)).toEqual(['-F', 'none'])
  expect(quoted(['echo', 'it\'s $HOME; `x`', ''])).toBe('\'echo\' \'it\'\\\'\'s $HOME; `x`\' \'\'')
})

describe('A lock between processes', () => {
  test('lets one in at a time, in spite of everyone asking at once', async () => {
    const file = path.join(folder(), 'lock')
    let inside = 0
    let most = 0
    await Promise.all(Array.from({ length: 5 }, () => withLock(file, 20_000, async () => {
      most = Math.max(most, ++inside)
      await sleep(20)
      inside--
    })))
    expect(most).toBe(1)
  })

  test('is taken over from a holder that died, and not from one that lives', async () => {
    const file = path.join(folder(), 'lock')
    mkdirSync(file)
    writeFileSync(path.join(file, 'holder'), '999999999 1')
    expect(await withLock(file, 5_000, () => Promise.resolve('mine'))).toBe('mine')
    mkdirSync(file)
    writeFileSync(path.join(file, 'holder'), await processIdentity(process.pid) as string)
    await expect(withLock(file, 300, () => Promise.resolve('mine'))).rejects.toThrow(`Another process (${process.pid})`)
  })

  test('is given back when the work fails', async () => {
    const file = path.join(folder(), 'lock')
    await expect(withLock(file, 1_000, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(await withLock(file, 1_000, () => Promise.resolve(1))).toBe(1)
  })
})
