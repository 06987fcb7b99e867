// Loads Prisma's schema engine as WebAssembly: the native engine is a download that air-gapped sites cannot make.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
export const packageFolder = path.dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg'))

let panic = null
/** What the engine said when it panicked last, or null. */
export const lastPanic = () => panic

export async function loadSchemaEngine() {
  // The engine reports panics through this global; without it they are lost.
  globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message(message) { panic = message }, get: () => panic }
  const glue = await import('@prisma/schema-engine-wasm/schema_engine_bg')
  const { instance } = await WebAssembly.instantiate(readFileSync(path.join(packageFolder, 'schema_engine_bg.wasm')), { './schema_engine_bg.js': glue })
  glue.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
  return glue.SchemaEngine
}

export const engineVersion = () => JSON.parse(readFileSync(path.join(packageFolder, 'package.json'), 'utf8')).version.split('.').pop()
