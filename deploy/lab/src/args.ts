// The lab's command line, read into one value.
import { DEFAULT_KERNELS, KERNEL_KEYS } from './kernels.js'
import type { KernelKey } from './kernels.js'
import { HOSTS_MAX } from './lab.js'
import type { Accel } from './qemu.js'

export const COMMANDS = ['up', 'down', 'status', 'ssh', 'build', 'reboot'] as const

export interface Order {
  readonly command: typeof COMMANDS[number]
  readonly hosts: number
  readonly kernels: readonly KernelKey[]
  readonly append: readonly string[]
  readonly accel: Accel | undefined
  readonly dir: string | undefined
  readonly json: boolean
  readonly wipe: boolean
  readonly refresh: boolean
  /** What stands behind the command: a host's name, and for ssh the command to run there. */
  readonly rest: readonly string[]
}

export type Parsed = { readonly order: Order } | { readonly wrong: string } | { readonly help: true }

export const USAGE = `usage: npm run lab -- COMMAND
  up [--hosts N] [--kernels 6.1,6.12] [--append WORD] [--accel kvm|tcg]   boot virtual machines with Debian's kernels
  status                         which run, and where
  ssh NAME [COMMAND...]          a shell or a command on one
  reboot NAME                    cut its power and turn it on again
  down [--wipe]                  power off; --wipe forgets their keys and disks too
  build [--kernels 6.1,6.12] [--refresh]   fetch and build without booting; --refresh asks Debian for newer kernels
Kernels: ${KERNEL_KEYS.join(', ')}. --dir FOLDER keeps a lab elsewhere than data/lab. --json prints one JSON object as the last line.`

type Flags = { -readonly [K in keyof Omit<Order, 'command' | 'rest'>]: Order[K] }

/** A flag's value -> what is wrong with it, or undefined once it is taken. */
const VALUES: Readonly<Record<string, (flags: Flags, value: string) => string | undefined>> = {
  '--hosts': (flags, value) => {
    flags.hosts = Number(value)
    return /^[1-9]\d?$/.test(value) && flags.hosts <= HOSTS_MAX ? undefined : `--hosts takes a number from 1 to ${HOSTS_MAX}, not ${JSON.stringify(value)}`
  },
  '--kernels': (flags, value) => {
    const keys = value.split(',')
    flags.kernels = keys as KernelKey[]
    const unknown = keys.find((key) => !(KERNEL_KEYS as readonly string[]).includes(key))
    return unknown === undefined ? undefined : `there is no kernel ${JSON.stringify(unknown)}; there are ${KERNEL_KEYS.join(', ')}`
  },
  '--append': (flags, value) => {
    flags.append = [...flags.append, ...value.split(' ').filter(Boolean)]
    return undefined
  },
  '--accel': (flags, value) => {
    flags.accel = value as Accel
    return value === 'kvm' || value === 'tcg' ? undefined : `--accel takes kvm or tcg, not ${JSON.stringify(value)}`
  },
  '--dir': (flags, value) => {
    flags.dir = value
    return value ? undefined : '--dir takes a folder'
  },
}
const SWITCHES: Readonly<Record<string, 'json' | 'wipe' | 'refresh'>> = { '--json': 'json', '--wipe': 'wipe', '--refresh': 'refresh' }

/** How many words each command takes behind it: at least, at most. */
const WORDS: Readonly<Record<Order['command'], readonly [number, number]>> = {
  up: [0, 0], down: [0, 0], status: [0, 0], build: [0, 0], reboot: [1, 1], ssh: [1, Number.POSITIVE_INFINITY],
}

/** Reads the words behind `npm run lab --`. Behind `ssh NAME` everything belongs to the remote command. */
export function parseArgs(argv: readonly string[]): Parsed {
  const flags: Flags = { hosts: 4, kernels: DEFAULT_KERNELS, append: [], accel: undefined, dir: undefined, json: false, wipe: false, refresh: false }
  const words: string[] = []
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] as string
    if (words[0] === 'ssh' && words.length >= 2) {
      words.push(...argv.slice(word === '--' ? index + 1 : index))
      break
    }
    if (word === '--help' || word === '-h') return { help: true }
    if (!word.startsWith('-')) {
      words.push(word)
      continue
    }
    const [name, ...value] = word.split('=') as [string, ...string[]]
    const toggle = SWITCHES[word]
    if (toggle) {
      flags[toggle] = true
      continue
    }
    const take = VALUES[name]
    if (!take) return { wrong: `there is no option ${word}` }
    const given = value.length > 0 ? value.join('=') : argv[++index]
    if (given === undefined) return { wrong: `${name} wants a value` }
    const wrong = take(flags, given)
    if (wrong) return { wrong }
  }
  const [command, ...rest] = words
  if (command === undefined || command === 'help') return { help: true }
  const known = COMMANDS.find((each) => each === command)
  if (!known) return { wrong: `there is no command ${JSON.stringify(command)}` }
  const [least, most] = WORDS[known]
  if (rest.length < least) return { wrong: `${known} wants a host's name` }
  if (rest.length > most) return { wrong: `${known} takes no ${JSON.stringify(rest[most])}` }
  return { order: { command: known, ...flags, rest } }
}
