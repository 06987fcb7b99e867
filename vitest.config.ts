import { defineConfig } from 'vitest/config'

// Sources of the libraries are tested without a build: the `development` export condition points at src.
const conditions = ['development', 'module', 'node']
const project = (name: string, include: string[], exclude: string[], extra: object = {}) => ({
  resolve: { conditions: ['development'] },
  ssr: { resolve: { conditions } },
  test: { name, include, exclude: ['**/node_modules/**', '**/dist/**', ...exclude], pool: 'forks' as const, ...extra },
})

export default defineConfig({
  test: {
    projects: [
      project('unit', ['{libs,apps,tools,deploy}/**/*.spec.ts'], ['**/*.{db,vm,e2e}.spec.ts'], { testTimeout: 30_000 }),
      // Real Postgres and Redis: started once for the run by the global set-up, a database of its own per file.
      project('db', ['{libs,apps,tools}/**/*.db.spec.ts'], [], {
        testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 2, globalSetup: ['libs/store/src/testing/postgres.ts'],
      }),
      // Real kernels: one lab for the run.
      project('vm', ['{libs,apps,tools,deploy}/**/*.vm.spec.ts'], [], { testTimeout: 300_000, hookTimeout: 600_000, maxWorkers: 1, fileParallelism: false }),
    ],
  },
})
