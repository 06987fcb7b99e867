// npm packages, as the lock file says; again only when it changed.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { root, step } from './node.mjs'

export function ensureModules(env) {
  const stamp = path.join(root, 'node_modules/.uptide-stamp')
  const want = createHash('sha256').update(readFileSync(path.join(root, 'package-lock.json'))).update(env.npm_config_nodedir ?? process.version).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === want) return
  step('npm packages are installed', 'npm', ['ci', '--no-audit', '--no-fund'], { env })
  writeFileSync(stamp, want)
}
