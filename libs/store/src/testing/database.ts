// A database of its own for a spec file, copied from the run's migrated one.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import type {} from './postgres.js'

export interface FreshDatabase {
  readonly url: string
  drop(): Promise<void>
}

async function asAdmin(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  client.on('error', () => {})
  await client.connect()
  try { await work(client) } finally { await client.end() }
}

/** @param migrated false: without any table. */
export async function freshDatabase({ migrated = true }: { migrated?: boolean } = {}): Promise<FreshDatabase> {
  const name = `spec_${randomBytes(8).toString('hex')}`
  await asAdmin((client) => client.query(`CREATE DATABASE ${name} TEMPLATE ${migrated ? inject('postgresTemplate') : 'template1'}`))
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  return { url: url.toString(), drop: () => asAdmin((client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)) }
}
