#!/usr/bin/env node
// Stands in for Prisma's native schema engine: the same command line and JSON-RPC over stdio, so that
// `npx prisma migrate …` works where the engine's download cannot be reached. Set by prisma.config.ts.
import { readFileSync } from 'node:fs'
import readline from 'node:readline'
import pg from 'pg'
import { adapterFactory, connectionOf } from './prisma/adapter.mjs'
import { engineVersion, lastPanic, loadSchemaEngine } from './prisma/wasm.mjs'

const takesValue = { '--datamodels': 'datamodels', '--datasource': 'datasource', '--enabled-preview-features': 'ignored', '--extension-types': 'ignored', cli: 'cli' }

function parseArguments(argv) {
  const found = { datamodels: [], url: null, cli: null }
  for (let i = 0; i < argv.length; i++) {
    const kind = takesValue[argv[i]]
    if (!kind) continue
    const value = argv[++i]
    if (kind === 'datamodels') found.datamodels.push(value)
    else if (kind === 'datasource') found.url = JSON.parse(value).url
    else if (kind === 'cli') found.cli = value
  }
  return found
}

const problems = { '3D000': ['P1003', 'The database does not exist'], '28P01': ['P1000', 'Authentication failed against the database server'], ECONNREFUSED: ['P1001', 'The database server cannot be reached'], ENOTFOUND: ['P1001', 'The database server cannot be reached'] }

/** Prisma's parser throws the first line away: a harmless one goes ahead. */
function printProblem(error) {
  const [code, words] = problems[error.code] ?? ['P1000', error.message]
  for (const line of [{ level: 'INFO', target: 'schema_engine', fields: { message: 'starting' } }, { level: 'ERROR', target: 'schema_engine::logger', fields: { error_code: code, message: words, is_panic: false } }]) process.stderr.write(`${JSON.stringify(line)}\n`)
}

async function withClient(connection, work) {
  const client = new pg.Client(connection)
  await client.connect()
  try { return await work(client) } finally { await client.end() }
}

const createDatabase = async (url) => {
  const connection = connectionOf(url)
  await withClient({ ...connection, database: 'postgres' }, (client) => client.query(`CREATE DATABASE "${connection.database.replaceAll('"', '""')}"`))
  return connection.database
}

const commands = {
  'can-connect-to-database': (url) => withClient(connectionOf(url), () => undefined),
  'create-database': createDatabase,
}

const options = parseArguments(process.argv.slice(2))
if (process.argv[2] === '--version') {
  console.log(`schema-engine-cli ${engineVersion()}`)
  process.exit(0)
}
if (options.cli) {
  try {
    const run = commands[options.cli]
    if (!run) throw new Error(`unknown command ${options.cli}`)
    await run(options.url)
    process.exit(0)
  } catch (error) { printProblem(error); process.exit(1) }
}

let engine = null
async function theEngine() {
  const SchemaEngine = await loadSchemaEngine()
  const models = options.datamodels.map((file) => [file, readFileSync(file, 'utf8')])
  return SchemaEngine.new({ datamodels: models.length > 0 ? models : undefined }, (line) => { if (process.env.DEBUG) process.stderr.write(`${line}\n`) }, adapterFactory(options.url ?? 'postgresql://127.0.0.1:1/none'))
}

const send = (message) => { process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`) }
let printed = 1_000_000

async function call(method, params) {
  if (method === 'createDatabase') return { databaseName: await createDatabase(options.url) }
  engine ??= theEngine()
  const ready = await engine
  if (method === 'getDatabaseVersion') return ready.version(params ?? null)
  if (method === 'diff') {
    const result = await ready.diff(params)
    if (result.stdout !== null && result.stdout !== undefined) send({ id: printed++, method: 'print', params: { content: result.stdout } })
    return { exitCode: result.exitCode, stdout: null }
  }
  if (typeof ready[method] !== 'function') throw new Error(`the schema engine has no method ${method}`)
  return (await ready[method](params)) ?? {}
}

let turn = Promise.resolve()
const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
lines.on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  if (!method) return
  turn = turn.then(async () => {
    try { send({ id, result: await call(method, params) }) } catch (error) {
      const data = { is_panic: false, message: lastPanic() ?? error?.message ?? String(error), meta: error?.meta ?? null, error_code: error?.code ?? error?.error_code ?? null }
      send({ id, error: { code: 4466, message: 'An error happened. Check the data field for details.', data } })
    }
  })
})
lines.on('close', () => turn.then(() => process.exit(0)))
