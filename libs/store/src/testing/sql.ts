// Plain SQL for specs: what nobody may do through the store is tried here.
import pg from 'pg'

export interface Sql {
  query<T extends object = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<T[]>
  close(): Promise<void>
}

export async function openSql(url: string): Promise<Sql> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return {
    query: async <T extends object>(text: string, values: readonly unknown[] = []) => (await client.query<T>(text, [...values])).rows,
    close: () => client.end(),
  }
}

/** SQLSTATE and words of what was refused; throws when it was not. */
export async function refusalOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try { await work } catch (error) {
    const { code = '', message } = error as { code?: string; message: string }
    return { code, message }
  }
  throw new Error('it was not refused')
}
