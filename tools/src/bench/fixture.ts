// Many hosts behind one sshd: a fixture root each, the real gate with its paths turned there, a fake insmod.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { root } from '../plane.js'

export const release = '6.1.0-50-cloud-amd64'

/** Module that is sent: a real one, filled up to the size of a usual livepatch. */
const moduleBytes = 200 * 1024

const replaced: readonly (readonly [string, string])[] = [
  ['SYS=/sys', 'SYS=$HOSTROOT/sys'], ['PROC=/proc', 'PROC=$HOSTROOT/proc'], ['ETC=/etc', 'ETC=$HOSTROOT/etc'], ['STATE=/var/lib/uptide', 'STATE=$HOSTROOT/state'],
  ['INSMOD=insmod', 'INSMOD=$HOSTROOT/../../insmod'], ['RMMOD=rmmod', 'RMMOD=true'], ['DMESG=dmesg', 'DMESG="cat $HOSTROOT/dmesg"'],
]

export interface Laid { readonly sshdConfig: string; readonly clientKey: string; readonly hostKey: string; readonly module: string; readonly gate: string }

/** @param listen where sshd listens; everywhere only inside a network namespace of its own. */
export function layFixture(dir: string, hosts: number, address: (index: number) => string, listen = { address: '0.0.0.0', port: 2222 }): Laid {
  const keygen = (file: string): void => { spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]) }
  const at = (name: string): string => path.join(dir, name)
  keygen(at('hostkey')); keygen(at('client'))
  const module = at('module.ko')
  const real = readFileSync(path.join(root, 'libs/livepatch/src/module/fixtures/uptide_v1-6.1.ko'))
  writeFileSync(module, Buffer.concat([real, Buffer.alloc(moduleBytes - real.length)]))
  let gate = readFileSync(path.join(root, 'apps/gate/uptide-gate'), 'utf8')
  for (const [from, to] of replaced) {
    if (!gate.includes(`\n${from}\n`)) throw new Error(`the gate has no line ${from}`)
    gate = gate.replace(`\n${from}\n`, `\n${to}\n`)
  }
  // Without root the fixture's host belongs to whoever lays it.
  gate = gate.replace(/^OWNER=0\b/m, `OWNER=${process.getuid?.() ?? 0}`)
  writeFileSync(at('gate'), gate, { mode: 0o755 })
  // What the kernel would show after a load that completes at once.
  writeFileSync(at('insmod'), `#!/bin/sh\ncp -r "$HOSTROOT/../../loaded/." "$HOSTROOT/sys/"\ncat "$HOSTROOT/../../klog" >> "$HOSTROOT/dmesg"\n`, { mode: 0o755 })
  writeFileSync(at('klog'), "[  100.100000] livepatch: enabling patch 'uptide_v1'\n[  100.200000] livepatch: 'uptide_v1': starting patching transition\n[  100.210000] livepatch: 'uptide_v1': patching complete\n")
  layLoaded(at('loaded'))
  for (let index = 0; index < hosts; index++) layHost(at(`hosts/${address(index)}`), index)
  writeFileSync(at('route'), `#!/bin/sh\nset -- $SSH_CONNECTION\nexport HOSTROOT=${dir}/hosts/$3\ncase $SSH_ORIGINAL_COMMAND in uptide-gate) exec sh ${dir}/gate ;; *) exec sh -c "$SSH_ORIGINAL_COMMAND" ;; esac\n`, { mode: 0o755 })
  copyFileSync(at('client.pub'), at('authorized'))
  writeFileSync(at('sshd_config'), [
    `Port ${listen.port}`, `ListenAddress ${listen.address}`, `HostKey ${at('hostkey')}`, `AuthorizedKeysFile ${at('authorized')}`, 'StrictModes no', 'UsePAM no', 'UseDNS no', 'PermitRootLogin prohibit-password',
    'PasswordAuthentication no', 'MaxStartups 500:30:1000', 'PidFile none', `ForceCommand ${at('route')}`, 'LogLevel ERROR',
    // bash reads ~/.bashrc for a command over SSH unless it is nested: what a login's start-up files do is not measured.
    'SetEnv SHLVL=2', '',
  ].join('\n'))
  chmodSync(dir, 0o755)
  const [type = '', blob = ''] = readFileSync(at('hostkey.pub'), 'utf8').split(' ')
  return { sshdConfig: at('sshd_config'), clientKey: at('client'), hostKey: `${type} ${blob}`, module, gate: at('gate') }
}

function layLoaded(to: string): void {
  const patch = path.join(to, 'kernel/livepatch/uptide_v1')
  for (const [object, functions] of [['vmlinux', ['version_proc_show,1', 'execdomains_proc_show,1']], ['lab_target', ['lab_wait,1']]] as const) {
    for (const name of functions) mkdirSync(path.join(patch, object, name), { recursive: true })
    writeFileSync(path.join(patch, object, 'patched'), '1\n')
  }
  writeFileSync(path.join(patch, 'enabled'), '1\n')
  writeFileSync(path.join(patch, 'transition'), '0\n')
  const module = path.join(to, 'module/uptide_v1')
  mkdirSync(module, { recursive: true })
  for (const [name, value] of [['refcnt', '1'], ['taint', 'OEK'], ['srcversion', 'EEC94DA6D2CDE73F0FA9BA5'], ['initstate', 'live']] as const) writeFileSync(path.join(module, name), `${value}\n`)
}

function layHost(at: string, index: number): void {
  const boot = `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`
  for (const folder of ['sys/kernel/livepatch', 'sys/module', 'proc/sys/kernel/random', 'proc/self', 'etc', 'state']) mkdirSync(path.join(at, folder), { recursive: true })
  const files: Readonly<Record<string, string>> = {
    'proc/sys/kernel/random/boot_id': boot, 'proc/sys/kernel/osrelease': release, 'proc/sys/kernel/tainted': '12288', 'proc/sys/kernel/hostname': `bench-${index}`,
    'proc/uptime': '90.00 90.00', 'proc/loadavg': '0.00 0.00 0.00 1/50 100', 'proc/cpuinfo': 'processor\t: 0', 'proc/meminfo': 'MemTotal:  1024 kB', 'proc/self/patch_state': '-1', 'etc/machine-id': boot.replaceAll('-', ''), dmesg: '[    1.000000] booted',
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(at, name), `${text}\n`)
  for (let task = 1; task <= 20; task++) {
    const folder = path.join(at, `proc/${task}/task/${task}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'patch_state'), '-1\n')
  }
}
