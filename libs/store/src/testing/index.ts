// For the specs of every workspace: `@uptide/store/testing`.
export { freshDatabase, type FreshDatabase } from './database.js'
export * from './fleet.js'
export { openSql, type Sql } from './sql.js'
