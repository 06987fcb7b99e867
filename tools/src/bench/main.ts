// `npm run bench -- NAME`: figures, never tests. Each prints words, and with --json one JSON object as its last line.
import { readFlags } from '../flags.js'
import { planBench } from './plan.js'
import { sshBench } from './ssh.js'

const benches = {
  ssh: { run: sshBench, says: '--hosts N: a complete attempt per host over SSH against one real OpenSSH server, and plain xargs ssh doing the same job' },
  plan: { run: planBench, says: 'one decision with 500 hosts in flight, in rollouts of 1,000, 10,000 and 100,000 targets: the view from PostgreSQL, and plan()' },
}

const help = `bench: name one of these:\n${Object.entries(benches).map(([name, { says }]) => `  ${name}  ${says}`).join('\n')}`
const { values, positionals } = readFlags(help, { allowPositionals: true, options: { hosts: { type: 'string', default: '500' }, json: { type: 'boolean', default: false }, inside: { type: 'boolean', default: false } } })
const bench = benches[positionals[0] as keyof typeof benches]
if (!bench) {
  process.stderr.write(`${help}\n`)
  process.exit(64)
}
const figures = await bench.run({ hosts: Number(values.hosts), inside: values.inside, json: values.json })
if (figures !== null) {
  for (const [name, value] of Object.entries(figures)) process.stdout.write(`  ${name.padEnd(28)} ${typeof value === 'number' ? Math.round(value * 100) / 100 : JSON.stringify(value)}\n`)
  if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`)
}
process.exit(0)
