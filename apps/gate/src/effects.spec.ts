// What the gate does to a kernel: only what the protocol names, only after it is written down, and never `force`.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FixtureHost, type Reply, type Request, build, release, sha256, shells } from './fixture-host.js'

const lease = 'lease host-1 7 a'
const module = Buffer.from('\x7fELF a module\n\0')
const digest = sha256(module)
const staging: readonly Request[] = [lease, { line: `stage ${digest} ${module.length}`, body: module }]
const load = `load uptide_v1 ${digest} ${release} ${build}`

describe.each(shells)('The gate under $shell', ({ shell }) => {
  let host: FixtureHost
  const started: ChildProcess[] = []
  beforeEach(() => { host = new FixtureHost(shell) })
  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL')
    host.remove()
  })
  const last = (requests: readonly Request[]): Reply => host.talk(requests).replies.at(-1)!
  const journal = (): string[] => host.read('state/journal').trimEnd().split('\n').map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ /, ''))

  it('loads the bytes that it verified, and tells what the kernel said meanwhile', () => {
    host.write('dmesg', '[   10.000000] before\n')
    host.program('insmod', `cp "$1" seen.ko; echo "$# $1" > args; cp state/journal journal-then; echo '[   11.500000] livepatch: enabling patch' >> dmesg`)
    expect(last([...staging, load])).toEqual({ ok: true, code: '', detail: '', lines: ['exit=0 text=-', 'klog at=11.500000 text=livepatch:%20enabling%20patch'] })
    expect(readFileSync(host.at('seen.ko')).equals(module)).toBe(true)
    expect(host.read('args')).toBe(`1 ${host.at(`state/stage/${digest}.ko`)}\n`)
    // What was meant stood in the journal before it was done.
    expect(host.read('journal-then')).toMatch(new RegExp(`^\\S+ a 7 intent load uptide_v1 ${digest}\\n$`))
    expect(journal()).toEqual([`a 7 intent load uptide_v1 ${digest}`, `a 7 result load uptide_v1 ${digest} exit 0`])
  })

  it('tells how a load failed', () => {
    host.program('insmod', `echo "insmod: ERROR: could not insert module x.ko: Device or resource busy" >&2; exit 1`)
    expect(last([...staging, load]).lines).toEqual(['exit=1 text=insmod:%20ERROR:%20could%20not%20insert%20module%20x.ko:%20Device%20or%20resource%20busy'])
    expect(journal().at(-1)).toBe(`a 7 result load uptide_v1 ${digest} exit 1`)
    host.program('insmod', `i=0; while [ $i -lt 5000 ]; do echo "line $i é"; i=$((i+1)); done; kill -9 $$`)
    const [line = ''] = last([...staging, load]).lines
    expect(line).toMatch(/^exit=137 text=%6c%69%6e%65%20%30/i)
    expect(line.length).toBeLessThan(4096)
  })

  it('never lets insmod read the conversation', () => {
    host.program('insmod', 'cat > stolen')
    expect(host.talk([...staging, load, 'hello 1']).replies.map((reply) => reply.ok)).toEqual([true, true, true, true])
    expect(host.read('stolen')).toBe('')
  })

  it.each([
    ['NOT_STAGED', [lease, load]],
    ['WRONG_KERNEL', [...staging, `load uptide_v1 ${digest} 6.1.0-51-cloud-amd64 ${build}`]],
    ['WRONG_KERNEL', [...staging, `load uptide_v1 ${digest} ${release} ${'0'.repeat(40)}`]],
    ['WRONG_KERNEL', [...staging, `load uptide_v1 ${digest} ${release.slice(0, -1)} -`]],
  ] satisfies [string, readonly Request[]][])('refuses a load with %s before anything is touched', (code, requests) => {
    host.program('insmod', 'touch loaded')
    expect(last(requests)).toMatchObject({ ok: false, code })
    expect(existsSync(host.at('loaded'))).toBe(false)
    expect(existsSync(host.at('state/journal'))).toBe(false)
  })

  it('does not load what was changed after it was staged, and takes it away', () => {
    host.program('insmod', 'touch loaded')
    host.talk(staging)
    host.write(`state/stage/${digest}.ko`, 'something else')
    const { replies } = host.talk([lease, load, load])
    expect(replies.map((reply) => reply.code)).toEqual(['', 'HASH_MISMATCH', 'NOT_STAGED'])
    expect(existsSync(host.at('loaded'))).toBe(false)
  })

  it('does not load what it cannot write down, but takes a patch back all the same', () => {
    host.patch('uptide_v1', { enabled: 1, transition: 0 })
    host.program('insmod', 'touch loaded')
    host.program('rmmod', 'touch "unloaded-$1"')
    host.talk(staging)
    mkdirSync(host.at('state/journal'))
    const { replies } = host.talk([lease, load, 'write uptide_v1 enabled 0', 'unload uptide_v1'])
    expect(replies.map((reply) => reply.code || reply.lines[0])).toEqual([undefined, 'NO_SPACE', 'errno=-', 'exit=0 text=-'])
    expect(existsSync(host.at('loaded'))).toBe(false)
    expect(host.read('sys/kernel/livepatch/uptide_v1/enabled')).toBe('0\n')
    expect(existsSync(host.at('unloaded-uptide_v1'))).toBe(true)
  })

  it('unloads livepatches and nothing else', () => {
    host.patch('uptide_v1', { enabled: 0 })
    host.write('sys/module/ext4/taint', '\n')
    host.write('sys/module/nvidia/taint', 'POE\n')
    host.write('sys/module/xfs/refcnt', '0\n')
    host.program('rmmod', 'echo "$*" >> removed; [ "$1" = uptide_v1 ] || { echo "rmmod: ERROR: Module $1 is not currently loaded" >&2; exit 1; }')
    const { replies } = host.talk([lease, 'unload uptide_v1', 'unload gone', 'unload ext4', 'unload nvidia', 'unload xfs'])
    expect(replies.map((reply) => reply.code || reply.lines[0])).toEqual([undefined, 'exit=0 text=-', 'exit=1 text=rmmod:%20ERROR:%20Module%20gone%20is%20not%20currently%20loaded', 'PATH_REFUSED', 'PATH_REFUSED', 'PATH_REFUSED'])
    expect(host.read('removed')).toBe('uptide_v1\ngone\n')
  })

  it('writes enabled and signal, and names what the kernel answers', () => {
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    host.write('sys/kernel/livepatch/uptide_v1/signal', '')
    expect(last([lease, 'write uptide_v1 enabled 0']).lines).toEqual(['errno=-'])
    expect(host.read('sys/kernel/livepatch/uptide_v1/enabled')).toBe('0\n')
    expect(last([lease, 'write uptide_v1 signal 1']).lines).toEqual(['errno=-'])
    expect(host.read('sys/kernel/livepatch/uptide_v1/signal')).toBe('1\n')
    expect(last([lease, 'write gone enabled 0']).lines).toEqual(['errno=ENOENT'])
    rmSync(host.at('sys/kernel/livepatch/uptide_v1/enabled'))
    // A file of the kernel that takes 1 to 5, and a device that is full.
    symlinkSync('/proc/self/clear_refs', host.at('sys/kernel/livepatch/uptide_v1/enabled'))
    expect(last([lease, 'write uptide_v1 enabled 0']).lines).toEqual(['errno=EINVAL'])
    rmSync(host.at('sys/kernel/livepatch/uptide_v1/enabled'))
    symlinkSync('/dev/full', host.at('sys/kernel/livepatch/uptide_v1/enabled'))
    expect(last([lease, 'write uptide_v1 enabled 0']).lines).toEqual(['errno=?'])
    expect(journal().slice(-2)).toEqual(['a 7 intent write uptide_v1 enabled 0', 'a 7 result write uptide_v1 enabled 0 ?'])
  })

  it.each([
    ['force 1', 'FORCE_REFUSED'], ['force 0', 'FORCE_REFUSED'], ['force x', 'FORCE_REFUSED'], ['transition 1', 'PATH_REFUSED'], ['enabled 2', 'PATH_REFUSED'], ['enabled yes', 'PATH_REFUSED'], ['enabled 00', 'PATH_REFUSED'], ['signal 0', 'PATH_REFUSED'], ['vmlinux/patched 0', 'PATH_REFUSED'],
    ['../force 1', 'PATH_REFUSED'], ['./force 1', 'PATH_REFUSED'], ['FORCE 1', 'PATH_REFUSED'], ['force,enabled 1', 'PATH_REFUSED'],
  ])('never writes %s', (words, code) => {
    host.patch('uptide_v1', { enabled: 1, transition: 1, force: 7 })
    host.write('sys/kernel/livepatch/force', '7\n')
    expect(last([lease, `write uptide_v1 ${words}`])).toMatchObject({ ok: false, code })
    expect(host.read('sys/kernel/livepatch/uptide_v1/force') + host.read('sys/kernel/livepatch/force')).toBe('7\n7\n')
  })

  it.each(['../uptide_v1', '.', 'a/b', '-', 'a-b', 'a.ko', `${'a'.repeat(56)}`])('has no module of the name %s', (name) => {
    for (const line of [`load ${name} ${digest} ${release} -`, `unload ${name}`, `write ${name} enabled 0`, `nudge ${name} signal`]) {
      expect(host.talk([lease, line]), line).toMatchObject({ exit: 64, replies: [{ ok: true }, { code: 'BAD_REQUEST' }] })
    }
  })

  it('nudges by the kernel\'s own signal where there is one', () => {
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    expect(last([lease, 'nudge uptide_v1 signal'])).toMatchObject({ code: 'NOT_SUPPORTED' })
    host.write('sys/kernel/livepatch/uptide_v1/signal', '')
    expect(last([lease, 'nudge uptide_v1 signal']).lines).toEqual(['nudged=1'])
    expect(host.read('sys/kernel/livepatch/uptide_v1/signal')).toBe('1\n')
    expect(host.talk([lease, 'nudge uptide_v1 force'])).toMatchObject({ exit: 64 })
  })

  it('nudges each blocking process once by stopping it and letting it go on, and no other', async () => {
    const victim = async (name: string): Promise<number> => {
      const child = spawn('bash', ['-c', `trap 'echo continued >> ${name}' CONT; touch ${name}; while :; do sleep 0.02; done`], { cwd: host.root })
      started.push(child)
      while (!existsSync(host.at(name))) await sleep(10)
      return child.pid!
    }
    const [blocker, kernelTask, stopped, moved] = [await victim('blocker'), await victim('kernel'), await victim('stopped'), await victim('moved')]
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    // Two threads of one process; init; a kernel task; one that somebody has stopped already; one that has moved.
    host.task(blocker, blocker, 0); host.task(blocker, blocker + 100_000, 0)
    host.task(1, 1, 0)
    host.task(kernelTask, kernelTask, 0, { kernel: true })
    host.task(stopped, stopped, 0, { state: 'T' })
    host.task(moved, moved, 1)
    expect(last([lease, 'nudge uptide_v1 stopcont']).lines).toEqual(['nudged=1'])
    while (host.read('blocker') === '') await sleep(20)
    await sleep(100)
    expect(['blocker', 'kernel', 'stopped', 'moved'].map((name) => host.read(name))).toEqual(['continued\n', '', '', ''])
    expect(journal()).toEqual(['a 7 intent nudge uptide_v1 stopcont', 'a 7 result nudge uptide_v1 stopcont 1'])
  })

  it('does not stop itself', async () => {
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    const session = host.open()
    await session.ask(lease)
    host.task(session.child.pid!, session.child.pid!, 0)
    expect((await session.ask('nudge uptide_v1 stopcont')).lines).toEqual(['nudged=0'])
    expect(await session.end()).toBe(0)
  })
})
