// What the gate reads off a host: everything on it is hostile text, and everything that it says is one printable line.
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gateLineBytesMax } from '@uptide/contracts/gate'
import { FixtureHost, bootId, build, notes, release, shells } from './fixture-host.js'

const decode = (value: string): Buffer => Buffer.from(value.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(parseInt(hex, 16))), 'latin1')
const valueOf = (line: string | undefined, key: string): Buffer => decode(new RegExp(`(?:^| )${key}=(\\S*)`).exec(line ?? '')?.[1] ?? 'MISSING')
const safe = /^[A-Za-z0-9_.:+/=,@()% -]*$/

describe.each(shells)('The gate under $shell', ({ shell }) => {
  let host: FixtureHost
  beforeEach(() => { host = new FixtureHost(shell) })
  afterEach(() => { host.remove() })

  it('tells the facts of the host', () => {
    const { lines } = host.one('facts')
    expect(Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)))).toEqual({
      release, build, bootid: bootId, arch: expect.stringMatching(/^[a-z0-9_]+$/), cpus: '7', memory: '223624', taint: '12288', klp: '1', patchstate: '1', kgraft: '0', kpatch: '0', stopmachine: '0',
      sigenforce: 'N', lockdown: 'integrity', modulesdisabled: '0', hostname: 'host-1', machineid: '8feab4b1bf934e42a75f350b4b4e424f', os: 'Debian%20GNU/Linux%2012%20(bookworm)',
    })
  })

  it('tells what it can of a host that has next to nothing', () => {
    for (const gone of ['sys', 'etc', 'proc']) rmSync(host.at(gone), { recursive: true })
    mkdirSync(host.at('proc/self'), { recursive: true })
    const done = host.talk(['hello 1', 'facts', 'patches', 'scan uptide_v1', 'blockers uptide_v1 5', 'health 0'])
    expect(done.exit).toBe(0)
    expect(done.replies.map((reply) => reply.ok)).toEqual([true, true, true, true, true, true])
    expect(done.replies[1]?.lines).toEqual(expect.arrayContaining(['release=-', 'build=-', 'cpus=-', 'klp=0', 'sigenforce=?', 'lockdown=?', 'modulesdisabled=0', 'os=-']))
    expect(done.replies[3]?.lines).toEqual(['tasks all=0 patched=0 unpatched=0 undefined=0'])
  })

  it('finds the build id of kernels of either byte order', () => {
    for (const bigEndian of [false, true]) {
      host.write('sys/kernel/notes', notes('0123456789abcdef0123456789abcdef01234567', bigEndian))
      expect(host.one('hello 1').lines[0]).toContain(' build=0123456789abcdef0123456789abcdef01234567 ')
    }
    host.write('sys/kernel/notes', notes('0123456789abcdef'))
    expect(host.one('hello 1').lines[0]).toContain(' build=- ')
  })

  it.each([
    ['every byte but NUL and newline', Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1).filter((byte) => byte !== 10))],
    ['dash\'s own marks', Buffer.from([0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x5c, 0x5c, 0x6e])],
    ['a forged reply', Buffer.from('x\r0000000000000001 = 0')],
    ['what a shell would run', Buffer.from('$(reboot) `reboot` ; reboot & * ~ \\')],
    ['spaces alone', Buffer.from('   ')],
  ])('encodes %s in a name', (_what, name) => {
    host.write('proc/sys/kernel/hostname', Buffer.concat([name, Buffer.from('\n')]))
    const line = host.one('facts').lines.find((each) => each.startsWith('hostname='))
    expect(valueOf(line, 'hostname')).toEqual(name)
    expect(line).toMatch(safe)
  })

  it('says no line that is too long', () => {
    host.write('proc/sys/kernel/hostname', `${'\u00e4'.repeat(20_000)}\n`)
    host.write('proc/version', `${'~'.repeat(50_000)}\n`)
    host.write('dmesg', `[    5.000000] ${'~ '.repeat(20_000)}\n`)
    host.write('state/journal', `${'~ '.repeat(20_000)}\n`)
    const { stdout, replies } = host.talk(['facts', 'read /proc/version', 'klog 0', 'journal 5'])
    expect(replies.every((reply) => reply.ok)).toBe(true)
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(gateLineBytesMax)
    expect(stdout).toContain('%7E%20'.repeat(500))
  })

  it('lists the livepatches, their objects and functions', () => {
    host.patch('uptide_v1', { enabled: 1, transition: 0 })
    host.write('sys/module/uptide_v1/notes/.note.gnu.build-id', notes('bcd71f303790e5e739418c7d3aab10cea0ce8850'))
    host.write('sys/kernel/livepatch/uptide_v1/vmlinux/patched', '1\n')
    for (const name of ['version_proc_show,1', 'execdomains_proc_show,2']) mkdirSync(host.at(`sys/kernel/livepatch/uptide_v1/vmlinux/${name}`))
    mkdirSync(host.at('sys/kernel/livepatch/uptide_v1/lab_target/lab_wait.isra.0,1'), { recursive: true })
    host.patch('uptide_v2', { enabled: 0, transition: 1, replace: 1, stack_order: 2 })
    host.write('sys/kernel/livepatch/not a module/enabled', '1\n')
    expect(host.one('patches').lines).toEqual([
      'patch name=uptide_v1 enabled=1 transition=0 replace=- stackorder=- refcnt=1 taint=OEK srcversion=EEC94DA6D2CDE73F0FA9BA5 build=bcd71f303790e5e739418c7d3aab10cea0ce8850',
      'object patch=uptide_v1 name=lab_target patched=-',
      'func patch=uptide_v1 object=lab_target name=lab_wait.isra.0,1',
      'object patch=uptide_v1 name=vmlinux patched=1',
      'func patch=uptide_v1 object=vmlinux name=execdomains_proc_show,2',
      'func patch=uptide_v1 object=vmlinux name=version_proc_show,1',
      'patch name=uptide_v2 enabled=0 transition=1 replace=1 stackorder=2 refcnt=1 taint=OEK srcversion=EEC94DA6D2CDE73F0FA9BA5 build=-',
    ])
    expect(host.one('module uptide_v2').lines).toEqual(['module name=uptide_v2 state=live refcnt=1 taint=OEK srcversion=EEC94DA6D2CDE73F0FA9BA5 build=-'])
    expect(host.one('module uptide_v3')).toMatchObject({ code: 'NO_MODULE' })
  })

  it('reads what the list allows', () => {
    host.patch('uptide_v1', { enabled: 1, transition: 0 })
    host.write('sys/kernel/livepatch/uptide_v1/vmlinux/patched', '1\n')
    const reads: readonly (readonly [string, string])[] = [
      ['/sys/kernel/livepatch/uptide_v1/enabled', '1'], ['/sys/kernel/livepatch/uptide_v1/vmlinux/patched', '1'], ['/sys/module/uptide_v1/taint', 'OEK'], ['/proc/sys/kernel/tainted', '12288'],
      ['/proc/sys/kernel/random/boot_id', bootId], ['/proc/uptime', '1234.56 99.00'], ['/proc/version', 'Linux version 6.1.0 (uptide v1) #1 SMP ~x'],
    ]
    for (const [path, value] of reads) expect(valueOf(host.one(`read ${path}`).lines[0], 'value').toString(), path).toBe(value)
    expect(host.one('read /sys/kernel/livepatch/uptide_v1/replace')).toMatchObject({ code: 'NO_FILE' })
    expect(host.one('read /sys/module/gone/refcnt')).toMatchObject({ code: 'NO_FILE' })
  })

  it.each([
    '/etc/shadow', '/proc/self/environ', '/proc/1/stack', '/sys/kernel/livepatch/../../../etc/shadow', '/sys/kernel/livepatch/a/../../x/enabled', '/sys/kernel/livepatch/../enabled', '/sys/module/../kernel/notes', '/sys/module/a/b/refcnt',
    '/sys/module/a/sections/.text', '/sys/kernel/livepatch/a/b/c/patched', '/sys/kernel/livepatch/a/b/enabled', '/sys/kernel/livepatch//enabled', '/sys/kernel/livepatch/a//patched', '/sys/kernel/livepatch/a/force', '/proc/sys/kernel/tainted/', '//proc/uptime', '/proc/./uptime',
    'proc/uptime', '/proc/uptime/..', '/', '-', '/sys/module/./refcnt', '/sys/module/a.b/refcnt',
  ])('does not read %s', (path) => {
    host.patch('a', { enabled: 1 })
    host.write('sys/kernel/livepatch/enabled', '1\n')
    expect(host.one(`read ${path}`)).toMatchObject({ ok: false, code: 'PATH_REFUSED', lines: [] })
  })

  it.each(['module ../../etc', 'scan a-b', 'scan .', 'blockers a/b 5', 'blockers a x', 'blockers a -1', 'blockers a 1.5', 'watch a 1e3', 'watch a 99999999999', 'klog -1', 'klog 1.2.3', 'klog x', 'health .', 'journal -5', 'journal x', `module ${'a'.repeat(56)}`, 'staged xyz', `staged ${'A'.repeat(64)}`])('refuses %s', (line) => {
    expect(host.talk([line, 'hello 1'])).toMatchObject({ exit: 64, replies: [{ code: 'BAD_REQUEST' }] })
  })

  it('counts tasks by their state, and passes over those that end meanwhile', () => {
    host.task(10, 10, 1); host.task(10, 11, 0); host.task(20, 20, 1); host.task(30, 30, -1)
    mkdirSync(host.at('proc/40/task/40'), { recursive: true })
    symlinkSync(host.at('nowhere'), host.at('proc/40/task/40/patch_state'))
    expect(host.one('scan uptide_v1').lines).toEqual(['tasks all=4 patched=2 unpatched=1 undefined=1'])
  })

  it('names the blockers of a transition in either direction, with their stacks but no address', () => {
    host.task(10, 10, 1)
    host.task(20, 21, 0, { comm: 'a b) R 2 (%\u00e9', state: 'D', stack: `${Array.from({ length: 12 }, (_, index) => `[<0>] f${index}+0x1${index}/0x90 [lab_target]`).join('\n')}\n` })
    host.task(30, 30, 0, { comm: 'kworker/0:1', kernel: true, state: 'I', stack: '[<ffffffff81063f1c>] worker_thread+0x1a/0x2b\n[<ffffffffffffffff>] 0xffffffffffffffff\n' })
    host.task(40, 40, 0, { wchan: 'do_wait' })
    host.task(41, 41, 0, { wchan: '0xffffffff81063f1c' })
    host.task(50, 50, -1)
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    const { lines } = host.one('blockers uptide_v1 50')
    expect(lines).toEqual([
      'task tid=21 pid=20 comm=%61%20%62%29%20%52%20%32%20%28%25%c3%a9 kernel=0 state=D stack=f0+0x10,f1+0x11,f2+0x12,f3+0x13,f4+0x14,f5+0x15,f6+0x16,f7+0x17',
      'task tid=30 pid=30 comm=kworker/0:1 kernel=1 state=I stack=worker_thread+0x1a',
      'task tid=40 pid=40 comm=cat kernel=0 state=S stack=do_wait',
      'task tid=41 pid=41 comm=cat kernel=0 state=S stack=-',
    ])
    expect(host.one('blockers uptide_v1 2').lines).toEqual(lines.slice(0, 2))
    host.patch('uptide_v1', { enabled: 0, transition: 1 })
    expect(host.one('blockers uptide_v1 50').lines).toEqual([expect.stringMatching(/^task tid=10 /)])
    host.patch('uptide_v1', { enabled: 0, transition: 0 })
    expect(host.one('blockers uptide_v1 50').lines).toEqual([])
    expect(host.one('blockers gone 50')).toMatchObject({ ok: true, lines: [] })
  })

  it('watches until the transition ends', async () => {
    host.task(10, 10, 1); host.task(20, 20, 0)
    host.patch('uptide_v1', { enabled: 1, transition: 1 })
    const session = host.open()
    session.send('watch uptide_v1 60')
    await session.until((text) => text.includes('moved=1'))
    host.task(20, 20, 1)
    await session.until((text) => text.includes('moved=2'))
    host.task(10, 10, -1); host.task(20, 20, -1)
    host.patch('uptide_v1', { enabled: 1, transition: 0 })
    const text = await session.until((each) => / = \d+\n/.test(each))
    const lines = text.split('\n').filter((line) => line.includes(' + '))
    expect(lines[0]).toMatch(/ \+ progress age=\d+ transition=1 enabled=1 all=2 moved=1$/)
    expect(lines.at(-1)).toMatch(/ \+ progress age=\d+ transition=0 enabled=1 all=2 moved=2$/)
    // All were counted without a state only once it was over: never a step back at the end.
    expect(lines.some((line) => line.includes('moved=0'))).toBe(false)
    expect(await session.end()).toBe(0)
  })

  it('watches no longer than it was asked to, and counts the other way when the patch is taken back', async () => {
    host.task(10, 10, 1); host.task(20, 20, 0); host.task(30, 30, 0)
    host.patch('uptide_v1', { enabled: 0, transition: 1 })
    const session = host.open()
    session.send('watch uptide_v1 5')
    await session.until((text) => text.includes('moved=2'))
    host.write('proc/uptime', '1239.60 99.00\n')
    const text = await session.until((each) => / = \d+\n/.test(each))
    expect(text).toMatch(/age=5040 transition=1 enabled=0 all=3 moved=2\n\d{16} = \d+\n$/)
    expect((await session.ask('watch gone 60')).lines).toEqual([expect.stringMatching(/^progress age=\d+ transition=- enabled=- all=3 moved=3$/)])
  })

  it('tells the kernel log later than a moment, at most the last 200 lines', () => {
    const log = Array.from({ length: 300 }, (_, index) => `[  ${index + 1}.000001] line ${index + 1}`)
    host.write('dmesg', `${log.join('\n')}\n  continued without a stamp\n<6>[  301.5] busybox's form\n[  302.000000] \u00e9\\n\u0007 [x] ]\n`)
    const all = host.one('klog 0').lines
    expect(all).toHaveLength(200)
    expect(all.slice(-3)).toEqual(['klog at=300.000001 text=line%20300', 'klog at=301.5 text=busybox%27s%20form', 'klog at=302.000000 text=%C3%A9%5Cn%07%20%5Bx%5D%20%5D'])
    expect(host.one('klog 300.000001').lines).toEqual(all.slice(-2))
    expect(host.one('klog 302').lines).toEqual([])
  })

  it('counts what went wrong in the kernel since a moment', () => {
    host.write('dmesg', [
      '[    1.000000] BUG: kernel NULL pointer dereference', '[   10.000000] WARNING: CPU: 0 PID: 1 at x.c:1', '[   11.000000] BUG: unable to handle page fault', '[   11.000001] Oops: 0000 [#1]', '[   12.000000] general protection fault: 0000',
      '[   13.000000] INFO: task cat:1 blocked for more than 120 seconds.', '[   14.000000] livepatch: enabling patch',
    ].join('\n'))
    expect(host.one('health 5').lines).toEqual([`bootid=${bootId} taint=12288 load1=0.28 uptime=1234.56 oops=3 warn=1 hung=1`])
    expect(host.one('health 13').lines[0]).toContain('oops=0 warn=0 hung=0')
  })

  it('reads the journal from its end', () => {
    host.write('state/journal', Array.from({ length: 300 }, (_, index) => `entry ${index}\n`).join(''))
    expect(host.one('journal 2').lines).toEqual(['entry text=entry%20298', 'entry text=entry%20299'])
    expect(host.one('journal 1000').lines).toHaveLength(200)
    expect(host.one('journal 1000').lines.at(-1)).toBe('entry text=entry%20299')
  })
})
