// A host made of files: the gate itself runs, in a copy whose constants point at a folder, under one of three shells.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeReplyLine } from '@uptide/contracts/gate'

export const gateFile = fileURLToPath(new URL('../uptide-gate', import.meta.url))
export const gateText = readFileSync(gateFile, 'utf8')

/** `busybox` has no program but busybox's own, and flock, which Debian's busybox leaves out. */
export const shells = [
  { shell: 'dash', argv: ['dash'] },
  { shell: 'bash', argv: ['bash', '--posix'] },
  { shell: 'busybox', argv: ['busybox', 'sh'] },
] as const
export type ShellName = (typeof shells)[number]['shell']

export const bootId = 'b6f2af0c-cd1d-4c3c-be93-f4ea28b2bbdb'
export const release = '6.1.0-50-cloud-amd64'
export const build = 'bb603a9147d3efe4744bf83c83eee397c591cc20'

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

/** An ELF notes file with one GNU build id behind another note, as kernels have it. */
export function notes(id: string, bigEndian = false): Buffer {
  const word = (value: number): Buffer => { const four = Buffer.alloc(4); if (bigEndian) four.writeUInt32BE(value); else four.writeUInt32LE(value); return four }
  const note = (name: string, type: number, body: Buffer): Buffer => Buffer.concat([word(4), word(body.length), word(type), Buffer.from(`${name}\0`), body])
  return Buffer.concat([note('Xen', 6, Buffer.alloc(8, 7)), note('GNU', 3, Buffer.from(id, 'hex')), note('Lin', 0x100, Buffer.alloc(4))])
}

export interface Reply { readonly ok: boolean; readonly code: string; readonly detail: string; readonly lines: string[] }
export interface Talk { readonly exit: number | null; readonly replies: Reply[]; readonly stdout: string; readonly stderr: string }
export type Request = string | { readonly line: string; readonly body: Uint8Array }

/** Nonces count up: the first request's ends in 01. */
export const nonceOf = (index: number): string => (index + 1).toString(16).padStart(16, '0')

function bytesOf(requests: readonly Request[]): Buffer {
  return Buffer.concat(requests.flatMap((request, index) => {
    const { line, body } = typeof request === 'string' ? { line: request, body: new Uint8Array() } : request
    return [Buffer.from(`${nonceOf(index)} ${line}\n`, 'latin1'), Buffer.from(body)]
  }))
}

function repliesOf(stdout: string): Reply[] {
  const replies: Reply[] = []
  let lines: string[] = []
  for (const line of stdout.split('\n').slice(0, -1)) {
    // A request whose nonce cannot be read is refused under zeros.
    const item = decodeReplyLine(nonceOf(replies.length), line) ?? decodeReplyLine('0'.repeat(16), line)
    if (item === null) throw new Error(`the gate said ${JSON.stringify(line)}`)
    if (item.kind === 'data') { lines.push(item.text); continue }
    if (item.kind === 'done' && item.count !== lines.length) throw new Error(`the gate announced ${item.count} lines and sent ${lines.length}`)
    replies.push(item.kind === 'done' ? { ok: true, code: '', detail: '', lines } : { ok: false, code: item.code, detail: decodeURIComponent(item.detail), lines })
    lines = []
  }
  return replies
}

/** A session that is kept open, for what happens between a request and its reply. */
export class Session {
  private text = ''
  private asked = 0
  private readonly waiting = new Set<() => void>()
  readonly ended: Promise<number | null>

  constructor(readonly child: ChildProcessWithoutNullStreams) {
    const wake = (): void => { for (const each of this.waiting) each() }
    child.stdout.on('data', (chunk: Buffer) => { this.text += chunk.toString('latin1'); wake() })
    child.stdin.on('error', () => {})
    this.ended = new Promise((done) => { child.on('close', (code) => { done(code); wake() }) })
  }

  /** Writes a request and does not wait. */
  send(line: string, body: Uint8Array = new Uint8Array()): void {
    this.child.stdin.write(Buffer.concat([Buffer.from(`${nonceOf(this.asked++)} ${line}\n`), body]))
  }

  async until(holds: (text: string) => boolean): Promise<string> {
    for (;;) {
      if (holds(this.text)) return this.text
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`the gate ended (${this.child.exitCode}) having said ${JSON.stringify(this.text)}`)
      await new Promise<void>((done) => { const woken = (): void => { this.waiting.delete(woken); done() }; this.waiting.add(woken) })
    }
  }

  async ask(line: string, body?: Uint8Array): Promise<Reply> {
    this.send(line, body)
    const nonce = nonceOf(this.asked - 1)
    await this.until((text) => text.split('\n').slice(0, -1).some((each) => each.startsWith(`${nonce} = `) || each.startsWith(`${nonce} ! `)))
    return repliesOf(this.text).at(-1)!
  }

  async end(): Promise<number | null> {
    this.child.stdin.end()
    return this.ended
  }
}

export class FixtureHost {
  readonly root = mkdtempSync(path.join(tmpdir(), 'uptide-gate-'))
  readonly gate: string
  private readonly argv: readonly string[]
  private readonly children: ChildProcessWithoutNullStreams[] = []

  constructor(readonly shell: ShellName, constants: Readonly<Record<string, string>> = {}) {
    this.argv = shells.find((each) => each.shell === shell)!.argv
    this.gate = this.at('uptide-gate')
    const uid = String(process.getuid?.() ?? 0)
    const values: Record<string, string> = {
      SYS: this.at('sys'), PROC: this.at('proc'), ETC: this.at('etc'), STATE: this.at('state'), INSMOD: this.at('bin/insmod'), RMMOD: this.at('bin/rmmod'),
      DMESG: `"cat ${this.at('dmesg')}"`, OWNER: uid, ...(shell === 'busybox' ? { PATH: this.at('applets') } : {}), ...constants,
    }
    let text = gateText
    for (const [name, value] of Object.entries(values)) {
      const line = new RegExp(`^${name}=.*$`, 'm')
      if (!line.test(text)) throw new Error(`the gate has no constant ${name}`)
      text = text.replace(line, () => `${name}=${value}`)
    }
    writeFileSync(this.gate, text, { mode: 0o755 })
    this.lay()
  }

  at(name: string): string { return path.join(this.root, name) }
  read(name: string): string { return readFileSync(this.at(name), 'utf8') }

  write(name: string, content: string | Uint8Array, mode = 0o644): void {
    mkdirSync(path.dirname(this.at(name)), { recursive: true })
    writeFileSync(this.at(name), content)
    chmodSync(this.at(name), mode)
  }

  /** What a fake insmod or rmmod does; `$1` is its argument. */
  program(name: 'insmod' | 'rmmod', script: string): void { this.write(`bin/${name}`, `#!/bin/sh\ncd '${this.root}' || exit 99\n${script}\n`, 0o755) }

  private lay(): void {
    for (const folder of ['sys/kernel/livepatch', 'sys/module', 'etc', 'bin', 'applets']) mkdirSync(this.at(folder), { recursive: true })
    this.write('proc/sys/kernel/random/boot_id', `${bootId}\n`)
    this.write('proc/sys/kernel/osrelease', `${release}\n`)
    this.write('proc/sys/kernel/tainted', '12288\n')
    this.write('proc/sys/kernel/modules_disabled', '0\n')
    this.write('proc/sys/kernel/hostname', 'host-1\n')
    this.write('proc/uptime', '1234.56 99.00\n')
    this.write('proc/loadavg', '0.28 0.10 0.05 1/99 1234\n')
    this.write('proc/meminfo', 'MemTotal:         223624 kB\nMemFree: 1 kB\n')
    this.write('proc/version', 'Linux version 6.1.0 (uptide v1) #1 SMP ~x\n')
    this.write('proc/self/patch_state', '-1\n')
    this.write('sys/devices/system/cpu/online', '0-3,6,8-9\n')
    this.write('sys/module/module/parameters/sig_enforce', 'N\n')
    this.write('sys/kernel/security/lockdown', 'none [integrity] confidentiality\n')
    this.write('sys/kernel/notes', notes(build))
    this.write('etc/machine-id', '8feab4b1bf934e42a75f350b4b4e424f\n')
    this.write('etc/os-release', 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    this.write('dmesg', '')
    this.program('insmod', 'exit 0')
    this.program('rmmod', 'exit 0')
    if (this.shell === 'busybox') {
      for (const applet of ['awk', 'cat', 'chmod', 'date', 'dd', 'df', 'grep', 'head', 'id', 'ls', 'mkdir', 'mv', 'od', 'rm', 'sed', 'sh', 'sha256sum', 'sleep', 'sync', 'tail', 'tr', 'uname', 'wc', 'xargs', 'cp', 'touch']) symlinkSync('/usr/bin/busybox', this.at(`applets/${applet}`))
      symlinkSync('/usr/bin/flock', this.at('applets/flock'))
    }
  }

  patch(name: string, files: { readonly enabled: 0 | 1; readonly transition?: 0 | 1 } & Readonly<Record<string, number>>): void {
    for (const [file, value] of Object.entries(files)) this.write(`sys/kernel/livepatch/${name}/${file}`, `${value}\n`)
    for (const [file, value] of Object.entries({ refcnt: '1', taint: 'OEK', srcversion: 'EEC94DA6D2CDE73F0FA9BA5', initstate: 'live' })) this.write(`sys/module/${name}/${file}`, `${value}\n`)
  }

  task(pid: number, tid: number, patchState: number, about: { comm?: string | Uint8Array; kernel?: boolean; state?: string; stack?: string; wchan?: string } = {}): void {
    const folder = `proc/${pid}/task/${tid}`
    const comm = about.comm ?? 'cat'
    this.write(`${folder}/patch_state`, `${patchState}\n`)
    this.write(`${folder}/comm`, Buffer.concat([Buffer.from(comm), Buffer.from('\n')]))
    const flags = about.kernel ? 0x208040 : 0x400000
    this.write(`${folder}/stat`, Buffer.concat([Buffer.from(`${tid} (`), Buffer.from(comm), Buffer.from(`) ${about.state ?? 'S'} 1 ${pid} ${pid} 0 -1 ${flags} 0 0\n`)]))
    this.write(`${folder}/stack`, about.stack ?? '')
    this.write(`${folder}/wchan`, about.wchan ?? '0')
  }

  /** All requests at once, then the end of the stream; `raw` goes as it is. */
  talk(requests: readonly Request[] | Buffer, env: Readonly<Record<string, string>> = {}): Talk {
    const input = Buffer.isBuffer(requests) ? requests : bytesOf(requests)
    const done = spawnSync(this.argv[0]!, [...this.argv.slice(1), this.gate], { input, env: { ...process.env, ...env }, encoding: 'latin1', timeout: 20_000, maxBuffer: 64 << 20 })
    return { exit: done.status, get replies() { return repliesOf(done.stdout) }, stdout: done.stdout, stderr: done.stderr }
  }

  one(line: string): Reply {
    const { replies } = this.talk([line])
    if (replies.length !== 1) throw new Error(`${line} had ${replies.length} replies`)
    return replies[0]!
  }

  /** `before` is a script of the shell that then becomes the gate. */
  open(before = ''): Session {
    const child = before === '' ? spawn(this.argv[0]!, [...this.argv.slice(1), this.gate]) : spawn('sh', ['-c', `${before}\nexec "$@"`, 'sh', ...this.argv, this.gate])
    this.children.push(child)
    return new Session(child)
  }

  remove(): void {
    for (const child of this.children) if (child.exitCode === null) child.kill('SIGKILL')
    rmSync(this.root, { recursive: true, force: true })
  }
}
