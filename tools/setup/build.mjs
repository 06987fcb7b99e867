// The Prisma client and every workspace's JavaScript; both know themselves what has changed.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { root, step } from './node.mjs'

export function ensureBuild(env) {
  const generated = path.join(root, 'libs/store/src/generated')
  const stamp = path.join(generated, '.stamp')
  const want = createHash('sha256').update(readFileSync(path.join(root, 'prisma/schema.prisma'))).digest('hex')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== want) {
    step('the Prisma client is generated', path.join(root, 'node_modules/.bin/prisma'), ['generate'], { env })
    writeFileSync(stamp, want)
  }
  step('the workspaces are built', path.join(root, 'node_modules/.bin/tsc'), ['-b'], { env })
}
