// The walls of the house are lint rules; here violations are planted, and each must be caught.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const oxlint = path.join(root, 'node_modules/.bin/oxlint')

function lint(file: string, source: string): { status: number | null; output: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'uptide-walls-'))
  try {
    mkdirSync(path.join(folder, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(folder, file), source)
    // Its patterns are taken from where it lies.
    copyFileSync(path.join(root, '.oxlintrc.json'), path.join(folder, '.oxlintrc.json'))
    const done = spawnSync(oxlint, ['--deny-warnings', '.'], { cwd: folder, encoding: 'utf8' })
    return { status: done.status, output: done.stdout + done.stderr }
  } finally { rmSync(folder, { recursive: true, force: true }) }
}

const violations: readonly (readonly [string, string, string])[] = [
  ['the planner reads the clock', 'libs/rollout/src/x.ts', 'export const now = (): number => Date.now()\n'],
  ['the planner throws dice', 'libs/rollout/src/x.ts', 'export const luck = (): number => Math.random()\n'],
  ['a pure library imports a builtin', 'libs/livepatch/src/x.ts', "import { readFileSync } from 'node:fs'\nexport const read = readFileSync\n"],
  ['a pure library imports a package', 'libs/evidence/src/x.ts', "import { z } from 'zod'\nexport const schema = z.string()\n"],
  ['a pure library reads the environment', 'libs/livepatch/src/x.ts', "export const home = process.env['HOME']\n"],
  ['the store imports the transport', 'libs/store/src/x.ts', "import { sshRoad } from '@uptide/transport'\nexport const road = sshRoad\n"],
  ['Prisma is used outside the store', 'apps/server/src/hosts/x.ts', "import { PrismaPg } from '@prisma/adapter-pg'\nexport const adapter = PrismaPg\n"],
  ['ssh2 is used outside the transport', 'apps/server/src/execute/x.ts', "import { Client } from 'ssh2'\nexport const client = Client\n"],
  ['BullMQ is used outside queues', 'apps/server/src/reconcile/x.ts', "import { Queue } from 'bullmq'\nexport const queue = Queue\n"],
  ['reconcile reaches into execute', 'apps/server/src/reconcile/x.ts', "import { runAttempt } from '../execute/attempt.js'\nexport const run = runAttempt\n"],
  ['an app imports an app', 'apps/cli/src/x.ts', "import { main } from '@uptide/server'\nexport const start = main\n"],
  ['somebody reaches inside another package', 'apps/server/src/x.ts', "import { plan } from '@uptide/rollout/src/plan.js'\nexport const decide = plan\n"],
  ['the environment is read outside env.ts', 'apps/server/src/hosts/x.ts', "export const data = process.env['UPTIDE_DATA']\n"],
  ['a file outgrows its limit', 'libs/rollout/src/x.ts', `${'export {}\n'.repeat(401)}`],
]

describe('the walls of the house', () => {
  for (const [says, file, source] of violations) {
    it(`stop it when ${says}`, () => {
      const { status, output } = lint(file, source)
      expect(status, output).not.toBe(0)
    })
  }

  it('let an ordinary file pass', () => {
    expect(lint('libs/rollout/src/x.ts', "import { plan } from './plan.js'\nexport const decide = plan\n").status).toBe(0)
  })
})
