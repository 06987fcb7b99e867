// Lint, types and Vitest's projects in one go, closing with one plain line: `N passed, N failed`.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { root, say } from './node.mjs'

const bin = (name) => path.join(root, 'node_modules/.bin', name)
const run = (program, args, env) => spawnSync(program, args, { cwd: root, env: { ...env, UPTIDE_ROOT: root }, stdio: 'inherit' }).status ?? 1

/** @returns the exit code: 0 only when everything passed and at least one test ran. */
export function runTests({ projects, lint = false, types = false, env: more = {} }, rest, base) {
  const env = { ...base, ...more }
  let failedChecks = 0
  if (lint) { say('lint'); if (run(bin('oxlint'), ['--deny-warnings', '--quiet'], env) !== 0) failedChecks += 1 }
  if (types) { say('types of the specs'); if (run(bin('tsc'), ['-p', 'tsconfig.spec.json'], env) !== 0) failedChecks += 1 }

  const folder = mkdtempSync(path.join(tmpdir(), 'uptide-tests-'))
  const report = path.join(folder, 'report.json')
  const args = ['run', ...projects.flatMap((name) => ['--project', name]), '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...rest]
  const status = run(bin('vitest'), args, env)
  let passed = 0; let failed = failedChecks
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'))
    passed = result.numPassedTests
    failed += result.numFailedTests
    // A file that does not load has no failed test of its own.
    failed += result.testResults.filter((file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed')).length
  } catch { failed += 1 }
  rmSync(folder, { recursive: true, force: true })
  if (status !== 0 && failed === 0) failed = 1
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  return failed === 0 && passed > 0 ? 0 : 1
}
