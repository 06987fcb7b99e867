import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type EdgeTable, edgeTables } from '@uptide/rollout'
import pg from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { migrationsFolder } from '../testing/postgres.js'
import { type FreshDatabase, freshDatabase } from '../testing/database.js'
import { applyMigrations } from './apply.js'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const made: FreshDatabase[] = []
const database = async (migrated: boolean): Promise<string> => {
  const fresh = await freshDatabase({ migrated })
  made.push(fresh)
  return fresh.url
}
afterAll(async () => { for (const one of made) await one.drop() })

async function query<T extends object>(url: string, text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try { return (await client.query<T>(text)).rows } finally { await client.end() }
}

describe('the migrations', () => {
  it('make an empty database whole, and a second run finds nothing to do', async () => {
    const url = await database(false)
    const applied = await applyMigrations(url, migrationsFolder)
    expect(applied).toEqual(['0001_init', '0002_guards', '0003_builds', '0004_approvals', '0005_overrides'])
    expect(await applyMigrations(url, migrationsFolder)).toEqual([])
    expect(await query(url, 'SELECT migration_name, finished_at IS NOT NULL AS finished FROM _prisma_migrations ORDER BY 1')).toEqual(applied.map((name) => ({ migration_name: name, finished: true })))
  })

  it('are applied once when four processes start at the same time', async () => {
    const url = await database(false)
    const answers = await Promise.all(Array.from({ length: 4 }, () => inProcess(url)))
    expect(answers.flat().sort()).toEqual(['0001_init', '0002_guards', '0003_builds', '0004_approvals', '0005_overrides'])
    expect(await query(url, 'SELECT count(*)::int AS n FROM _prisma_migrations')).toEqual([{ n: 5 }])
  })

  it('leave no connection open', async () => {
    const url = await database(false)
    await applyMigrations(url, migrationsFolder)
    const name = new URL(url).pathname.slice(1)
    expect(await query(url, `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`)).toEqual([{ n: 0 }])
  })

  it('give the schema that schema.prisma describes, as the Prisma command line says', async () => {
    const args = ['migrate', 'diff', '--from-migrations', 'prisma/migrations', '--to-schema', 'prisma/schema.prisma', '--exit-code']
    const { stdout } = await promisify(execFile)(`${root}/node_modules/.bin/prisma`, args, { cwd: root, env: { ...process.env, DATABASE_URL: await database(false) } })
    expect(stdout).toMatch(/No difference detected/)
  })

  it('are told apart from a schema that has drifted', async () => {
    const url = await database(true)
    await query(url, 'ALTER TABLE hosts ADD COLUMN drift int')
    const args = ['migrate', 'diff', '--from-config-datasource', '--to-schema', 'prisma/schema.prisma', '--exit-code']
    const failed = await promisify(execFile)(`${root}/node_modules/.bin/prisma`, args, { cwd: root, env: { ...process.env, DATABASE_URL: url } }).then(() => null, (error: { code: number; stdout: string }) => error)
    expect(failed).toMatchObject({ code: 2, stdout: expect.stringContaining('drift') as string })
  })

  it('know exactly the edges of the state tables', async () => {
    const rows = await query<{ edge: string }>(await database(true), `SELECT entity || ' ' || from_state || ' ' || to_state AS edge FROM state_edges`)
    const wanted = Object.entries(edgeTables).flatMap(([entity, table]) => Object.entries(table as EdgeTable<string>).flatMap(([from, tos]) => tos.map((to) => `${entity} ${from} ${to}`)))
    expect(rows.map((row) => row.edge).sort()).toEqual(wanted.sort())
  })

  it('know every state of a target', async () => {
    const [row] = await query<{ says: string }>(await database(true), `SELECT pg_get_constraintdef(oid) AS says FROM pg_constraint WHERE conname = 'targets_known_state'`)
    expect([...(row?.says ?? '').matchAll(/'([a-z-]+)'/g)].map((match) => match[1]).sort()).toEqual(Object.keys(edgeTables.target).sort())
  })
})

/** In a process of its own, as servers are; it exits at once, since the engine leaves a timer of ten seconds behind. */
async function inProcess(url: string): Promise<string[]> {
  const program = `import { applyMigrations } from '@uptide/store'; console.log(JSON.stringify(await applyMigrations(process.argv[1], process.argv[2]))); process.exit(0)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, url, migrationsFolder], { cwd: `${root}/libs/store` })
  return JSON.parse(stdout) as string[]
}
