import { fileURLToPath } from 'node:url'
import { defineConfig } from 'prisma/config'

// Prisma 7 wants a native schema engine that it would download; ours speaks the same protocol (tools/schema-engine.mjs).
process.env['PRISMA_SCHEMA_ENGINE_BINARY'] ??= fileURLToPath(new URL('./tools/schema-engine.mjs', import.meta.url))

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env['DATABASE_URL'] ?? 'postgresql://127.0.0.1:1/none' },
})
