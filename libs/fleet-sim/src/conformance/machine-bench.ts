// A bench that is a real machine: its gate through whatever road the caller opens, and a shell of the lab's to make
// tasks wait. The shell is the test's hand on the machine; the control plane has nothing like it.
import type { GateChannel } from '@uptide/transport'
import type { Bench, BenchBuild, BenchFeature, BuildName } from './bench.js'

export interface Machine {
  readonly name: string
  readonly kernelRelease: string
  readonly kernelBuildId: string | null
  readonly features: readonly BenchFeature[]
  /** Runs a script with the machine's sh, as root. */
  run(script: string): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }>
  /** Cuts the power, boots it again and waits until it answers. */
  reboot(): Promise<void>
  openGate(): Promise<GateChannel>
  readonly builds: Readonly<Record<BuildName, BenchBuild>>
}

/** Features of every upstream kernel from 5.1 on. */
export const modernFeatures: readonly BenchFeature[] = ['replace', 'any-order', 'auto-signal', 'reboots']

const holdFile = '/sys/module/uptide_hold/parameters/hold'

/** Ends what waits, disables what is enabled, unloads what is left; lab_target goes to how it boots. */
const cleanScript = `
/lab/reader stop
if [ -w ${holdFile} ]; then echo 0 > ${holdFile}; fi
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  left=
  for patch in /sys/kernel/livepatch/*/; do
    [ -e "$patch/enabled" ] || continue
    left=1
    if [ "$(cat "$patch/enabled")" = 1 ]; then echo 0 > "$patch/enabled"; fi
  done 2>/dev/null
  for module in uptide_v1 uptide_v2 uptide_stall uptide_hold uptide_shadow bad_symbol bad_notag bad_callback; do
    [ -e "/sys/module/$module" ] || continue
    left=1
    rmmod "$module" 2>/dev/null
  done
  [ -n "$left" ] || exit 0
  usleep 500000
done
echo "still loaded: $(ls /sys/kernel/livepatch /sys/module | grep -E 'uptide|bad_')" >&2
exit 1`

/** Starts a task that waits in the new function of uptide_hold, and waits until it does. */
const holdScript = (kind: 1 | 2) => `
echo ${kind} > ${holdFile} || exit 1
setsid cat /proc/execdomains > /run/hold.out 2>&1 < /dev/null &
pid=$!
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  if grep -q lab_execdomains_show /proc/$pid/stack; then echo "waiting $pid"; exit 0; fi
  usleep 100000
done
echo "it does not wait: $(cat /proc/$pid/stack)" >&2
exit 2`

export interface MachineBench extends Bench {
  /** As it was before the first vector. */
  clean(): Promise<void>
}

export function machineBench(machine: Machine, firstToken: bigint): MachineBench {
  let token = firstToken
  const must = async (script: string): Promise<string> => {
    const ran = await machine.run(script)
    if (ran.status !== 0) throw new Error(`${machine.name}: a script of the bench ended with ${ran.status}: ${ran.stderr.trim()}`)
    return ran.stdout
  }
  const target = async (loaded: boolean) => {
    await must(loaded ? '[ -e /sys/module/lab_target ] || insmod /lab/lab_target.ko' : '[ ! -e /sys/module/lab_target ] || rmmod lab_target')
  }
  return {
    name: machine.name, features: new Set(machine.features), hostId: `bench-${machine.name}`, kernelRelease: machine.kernelRelease, kernelBuildId: machine.kernelBuildId,
    open: () => machine.openGate(),
    build: (name) => machine.builds[name],
    block: async (where, kind) => {
      if (where === 'target') {
        await must(`/lab/reader start ${kind === 'lasting' ? 'killable' : 'interruptible'}`)
        return { release: async () => { await must('/lab/reader stop') } }
      }
      await must(holdScript(kind === 'lasting' ? 1 : 2))
      return { release: async () => { await must(`[ ! -w ${holdFile} ] || echo 0 > ${holdFile}`) } }
    },
    target,
    pause: (ms) => new Promise((resolve) => { setTimeout(resolve, ms) }),
    reboot: () => machine.reboot(),
    nextToken: () => (token += 1n),
    clean: async () => {
      await must(cleanScript)
      await target(true)
    },
  }
}
