// The only reader of the environment. Every fault names the variable and the way out.
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

export const roleNames = ['api', 'scheduler', 'worker'] as const
export type Role = (typeof roleNames)[number]

const rootOf = (source: NodeJS.ProcessEnv): string => source['UPTIDE_ROOT'] ?? fileURLToPath(new URL('../../..', import.meta.url))

const whole = (least: number, most: number, otherwise: number, unit: string) => {
  const says = `has to be a whole number${unit === '' ? '' : ` of ${unit}`} from ${least} to ${most}`
  return z.string().regex(/^\d{1,9}$/, says).transform(Number).refine((n) => n >= least && n <= most, says).default(otherwise)
}
const url = (protocol: RegExp, example: string) => z.url({ protocol, error: `has to be an address like ${example}` }).optional()
const optional = z.string().optional()

const schema = (root: string) => z.object({
  ROLES: z.string().default(roleNames.join(',')).transform((text) => text.split(',').map((word) => word.trim()).filter((word) => word !== ''))
    .pipe(z.array(z.enum(roleNames, `has to name roles, separated by commas: ${roleNames.join(', ')}`)).min(1, `has to name at least one role: ${roleNames.join(', ')}`))
    .transform((roles) => [...new Set(roles)]),
  BIND: z.string().default('127.0.0.1'),
  PORT: whole(1, 65_535, 4280, ''),
  DATABASE_URL: url(/^postgres(ql)?$/, 'postgresql://user:password@host:5432/uptide (without it an embedded PostgreSQL is used)'),
  REDIS_URL: url(/^rediss?$/, 'redis://host:6379/0 (without it the queue is kept in PostgreSQL)'),
  UPTIDE_DATA: z.string().default(path.join(root, 'data')),
  UPTIDE_KEY_FILE: optional,
  CREDENTIALS_DIRECTORY: optional,
  UPTIDE_GATE: z.string().default(path.join(root, 'apps/gate/uptide-gate')),
  UPTIDE_MIGRATIONS: z.string().default(path.join(root, 'prisma/migrations')),
  // Hosts at once in one process: each is one connection and about 200 KB.
  WORKER_CONCURRENCY: whole(1, 5_000, 500, 'hosts'),
  // Three renewals fit into one lease.
  LEASE_MS: whole(500, 600_000, 15_000, 'milliseconds'),
  // Lost wake-ups are made good within this time.
  SWEEP_MS: whole(100, 600_000, 5_000, 'milliseconds'),
  DATABASE_POOL: whole(2, 100, 12, 'connections'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'has to be one of trace, debug, info, warn, error, silent').default('info'),
  UPTIDE_FAIL_AT: optional,
})

export type Env = z.output<ReturnType<typeof schema>>

/** Values may hold passwords: a fault names the variable and what it has to be, never what it is. @throws Error */
export function readEnv(source: NodeJS.ProcessEnv = process.env): Env {
  // Compose files and unit files leave a variable empty to say that it is not set.
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== undefined && value !== ''))
  const found = schema(rootOf(given)).safeParse(given)
  if (found.success) return found.data
  const faults = found.error.issues.map((issue) => `  ${String(issue.path[0])} ${issue.message}`)
  throw new Error(`The environment is not as it has to be:\n${[...new Set(faults)].join('\n')}`)
}
