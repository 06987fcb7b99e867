#!/usr/bin/env node
// Every npm script goes through here. It runs on whatever Node >= 20 the machine has, makes the rest ready
// (Node 24, packages, build, Debian packages), each step only when it is needed, and then runs the command.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { ensureNode, root, say } from './setup/node.mjs'
import { ensureModules } from './setup/modules.mjs'
import { ensureBuild } from './setup/build.mjs'
import { ensureDebian } from './setup/debian.mjs'
import { runTests } from './setup/tests.mjs'

const dist = (file) => ['node', file]
const bin = (name) => path.join(root, 'node_modules/.bin', name)

/** command -> what must be ready, which Debian commands it needs, and what is run. */
const commands = {
  build: { needs: ['modules', 'build'] },
  start: { needs: ['modules', 'build'], run: dist('apps/server/dist/main.js') },
  dev: { needs: ['modules', 'build'], run: dist('tools/dist/dev.js') },
  demo: { needs: ['modules', 'build'], run: dist('tools/dist/demo/main.js') },
  lab: { needs: ['modules', 'build'], run: dist('deploy/lab/dist/main.js') },
  uptide: { needs: ['modules', 'build'], run: dist('apps/cli/dist/main.js') },
  sim: { needs: ['modules', 'build'], run: ['node', 'apps/cli/dist/main.js', 'sim', 'run'] },
  bench: { needs: ['modules', 'build'], debian: ['sshd'], run: dist('tools/dist/bench/main.js') },
  prisma: { needs: ['modules'], run: [bin('prisma')] },
  lint: { needs: ['modules'], run: [bin('oxlint'), '--deny-warnings'] },
  check: { needs: ['modules', 'build'], tests: { projects: ['unit'], lint: true, types: true } },
  test: {
    needs: ['modules', 'build'], debian: ['redis-server', 'shellcheck', 'sshd', 'busybox', 'readelf', 'flock', 'ip'],
    tests: { projects: ['unit', 'db', 'vm'], lint: true, types: true },
  },
  'test:unit': { needs: ['modules', 'build'], debian: ['shellcheck', 'sshd', 'busybox', 'readelf', 'flock'], tests: { projects: ['unit'] } },
  'test:db': { needs: ['modules', 'build'], debian: ['redis-server', 'sshd'], tests: { projects: ['db'] } },
  'test:kernels': { needs: ['modules', 'build'], debian: ['sshd', 'busybox'], tests: { projects: ['vm'], env: { UPTIDE_KERNELS: '5.10,6.1,6.12,7.2' } } },
}

const [name, ...rest] = process.argv.slice(2)
const command = commands[name]
if (!command) {
  say(`There is no command ${JSON.stringify(name ?? '')}. There are: ${Object.keys(commands).join(', ')}.`)
  process.exit(64)
}

try {
  if (command.debian) ensureDebian(command.debian)
  const env = ensureNode()
  if (command.needs.includes('modules')) ensureModules(env)
  if (command.needs.includes('build')) ensureBuild(env)
  if (command.tests) process.exit(runTests(command.tests, rest, env))
  if (command.run) {
    const [program, ...args] = command.run
    // The command gets Ctrl-C itself (same process group); waiting here must outlive it.
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
    const done = spawnSync(program, [...args, ...rest], { cwd: process.env.INIT_CWD && name === 'uptide' ? process.env.INIT_CWD : root, env: { ...env, UPTIDE_ROOT: root }, stdio: 'inherit' })
    if (done.error) throw done.error
    process.exit(done.status ?? 128 + 15)
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exit(70)
}
