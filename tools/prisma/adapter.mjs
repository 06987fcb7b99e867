// Prisma's pg adapter with the corrections that the schema engine needs (adapter-pg 7.10.1).
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import pg from 'pg'

const oidChar = 18 // the catalog's internal "char" type; the adapter has no mapping for it
const oidBpchar = 1042

const corrected = new WeakSet()

/** Presents the catalog's "char" columns as characters: as text they make the engine panic. */
function correctCharColumns(adapter) {
  let prototype = adapter
  while (prototype && !Object.hasOwn(prototype, 'queryRaw')) prototype = Object.getPrototypeOf(prototype)
  if (!prototype || corrected.has(prototype)) return adapter
  corrected.add(prototype)
  const original = prototype.queryRaw
  prototype.queryRaw = async function queryRaw(query) {
    const columns = []
    const self = Object.create(this)
    self.performIO = async (statement) => {
      const result = await this.performIO(statement)
      result.fields.forEach((field, index) => { if (field.dataTypeID === oidChar) { field.dataTypeID = oidBpchar; columns.push(index) } })
      return result
    }
    const answer = await original.call(self, query)
    for (const index of columns) answer.columnTypes[index] = ColumnTypeEnum.Character
    return answer
  }
  return adapter
}

/** Sends a script whole: the adapter cuts it at every semicolon, also inside a function's body. Whole, it is also one transaction. */
function sendWhole(adapter) {
  adapter.executeScript = async (script) => {
    try { await adapter.client.query(script) } catch (error) { adapter.onError(error) }
  }
  return adapter
}

const correct = (adapter) => sendWhole(correctCharColumns(adapter))

/** Host, database and so on one by one: pg lets `connectionString` win over `database`, and the shadow database would be the main one. */
export function connectionOf(url) {
  const parsed = new URL(url)
  const sslMode = parsed.searchParams.get('sslmode')
  return {
    host: parsed.searchParams.get('host') ?? decodeURIComponent(parsed.hostname), port: Number(parsed.port || 5432),
    user: decodeURIComponent(parsed.username), password: decodeURIComponent(parsed.password), database: decodeURIComponent(parsed.pathname.slice(1)),
    ...(sslMode && sslMode !== 'disable' ? { ssl: { rejectUnauthorized: sslMode === 'verify-full' } } : {}),
  }
}

export function adapterFactory(url) {
  const schema = new URL(url).searchParams.get('schema') ?? undefined
  const factory = new PrismaPg(connectionOf(url), { schema })
  const connect = factory.connect.bind(factory)
  factory.connect = async () => correct(await connect())
  // The adapter's own drops the shadow database before its pool has ended, and so leaves it behind.
  factory.connectToShadowDb = async () => {
    const connection = connectionOf(url)
    const name = `prisma_migrate_shadow_db_${randomUUID()}`
    const admin = new pg.Client(connection)
    await admin.connect()
    await admin.query(`CREATE DATABASE "${name}"`)
    const adapter = correct(await new PrismaPg({ ...connection, database: name }, { schema }).connect())
    const dispose = adapter.dispose.bind(adapter)
    adapter.dispose = async () => {
      await dispose()
      await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)
      await admin.end()
    }
    return adapter
  }
  return bindMigrationAwareSqlAdapterFactory(factory)
}
