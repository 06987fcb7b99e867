// Vitest's global set-up: one embedded PostgreSQL for the run, with a migrated database that the others are copied from.
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startEmbedded } from '../embedded/start.js'
import { applyMigrations } from '../migrate/apply.js'

declare module 'vitest' {
  export interface ProvidedContext {
    /** The run's PostgreSQL, with a role that may create databases. */
    postgresUrl: string
    /** The migrated database that new ones are copied from. */
    postgresTemplate: string
  }
}

const prefix = 'uptide-test-postgres-'
export const template = 'uptide_template'
export const migrationsFolder = fileURLToPath(new URL('../../../../prisma/migrations', import.meta.url))

/** A run that was killed could not clean up: its server is stopped and its folder removed here. */
async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((one) => one.startsWith(prefix))) {
    const pid = Number(name.slice(prefix.length))
    try { process.kill(pid, 0); continue } catch (error) { if ((error as { code?: string }).code !== 'ESRCH') continue }
    const dir = path.join(tmpdir(), name)
    try { await (await startEmbedded({ dir })).stop() } catch { /* It was half made: nothing runs there. */ }
    rmSync(dir, { recursive: true, force: true })
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await sweep()
  const dir = path.join(tmpdir(), `${prefix}${process.pid}`)
  mkdirSync(dir, { recursive: true })
  chmodSync(dir, 0o755)
  const server = await startEmbedded({ dir })
  const url = new URL(server.url)
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await client.query(`CREATE DATABASE ${template}`)
  await client.end()
  url.pathname = `/${template}`
  await applyMigrations(url.toString(), migrationsFolder)
  project.provide('postgresUrl', server.url)
  project.provide('postgresTemplate', template)
  return async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}
