// Applies prisma/migrations in-process: no engine download, no command line, the same bookkeeping as Prisma's own.
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'

interface SchemaEngine { applyMigrations(input: unknown): Promise<{ appliedMigrationNames: string[] }> }
/** Node has it; the language's own library without the DOM does not describe it. */
declare const WebAssembly: { instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Record<string, unknown> } }> }

interface Glue {
  __wbg_set_wasm(exports: object): void
  SchemaEngine: { new: (options: object, log: () => void, factory: unknown) => Promise<SchemaEngine> }
}

let engineLoading: Promise<Glue['SchemaEngine']> | null = null

/** One instance for the process: the glue module holds a single memory, and a second one would be taken for the first. */
const loadEngine = (): Promise<Glue['SchemaEngine']> => (engineLoading ??= instantiate())

async function instantiate(): Promise<Glue['SchemaEngine']> {
  const require = createRequire(import.meta.url)
  const folder = path.dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg'))
  let panic = ''
  ;(globalThis as Record<string, unknown>)['PRISMA_WASM_PANIC_REGISTRY'] = { set_message: (message: string) => { panic = message }, get: () => panic }
  const specifier = '@prisma/schema-engine-wasm/schema_engine_bg'
  const glue = (await import(specifier)) as Glue
  const { instance } = await WebAssembly.instantiate(readFileSync(path.join(folder, 'schema_engine_bg.wasm')), { './schema_engine_bg.js': glue })
  glue.__wbg_set_wasm(instance.exports)
  ;(instance.exports['__wbindgen_start'] as () => void)()
  return glue.SchemaEngine
}

interface ScriptAdapter {
  client: { query(script: string): Promise<unknown> }
  onError(error: unknown): never
  executeScript(script: string): Promise<void>
}

/** The adapter cuts a script at every semicolon, also inside a function's body; whole, it is one transaction as well. */
function wholeScripts(url: string, opened: { dispose(): Promise<void> }[]): PrismaPg {
  const factory = new PrismaPg({ connectionString: url })
  const connect = factory.connect.bind(factory)
  factory.connect = async () => {
    const adapter = await connect()
    opened.push(adapter)
    const scripts = adapter as unknown as ScriptAdapter
    scripts.executeScript = async (script) => {
      try { await scripts.client.query(script) } catch (error) { scripts.onError(error) }
    }
    return adapter
  }
  return factory
}

/**
 * Applies what is missing, under Prisma's advisory lock: several processes may do it at once.
 * @param folder prisma/migrations
 * @returns the names of the migrations applied now.
 */
export async function applyMigrations(url: string, folder: string): Promise<string[]> {
  const SchemaEngine = await loadEngine()
  const opened: { dispose(): Promise<void> }[] = []
  try {
    const engine = await SchemaEngine.new({ datamodels: undefined }, () => {}, bindMigrationAwareSqlAdapterFactory(wholeScripts(url, opened)))
    const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList: migrationsIn(folder), filters: { externalTables: [], externalEnums: [] } })
    return appliedMigrationNames
  } finally {
    // The engine leaves its connections open.
    for (const adapter of opened) await adapter.dispose().catch(() => {})
  }
}

function migrationsIn(folder: string): object {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort()
  return {
    baseDir: folder,
    lockfile: { path: 'migration_lock.toml', content: readFileSync(path.join(folder, 'migration_lock.toml'), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: names.map((name) => ({ path: name, migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: readFileSync(path.join(folder, name, 'migration.sql'), 'utf8') } } })),
  }
}
