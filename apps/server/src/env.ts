// The only reader of the environment. Every fault names the variable and the way out.
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

export const roleNames = ['api', 'scheduler', 'worker'] as const
export type Role = (typeof roleNames)[number]

const root = process.env['UPTIDE_ROOT'] ?? fileURLToPath(new URL('../../..', import.meta.url))
const whole = (least: number, most: number, otherwise: number) => z.coerce.number().int().min(least).max(most).default(otherwise)
const optional = z.string().min(1).optional()

const schema = z.object({
  ROLES: z.string().default('api,scheduler,worker').transform((text) => text.split(',').map((word) => word.trim())).pipe(z.array(z.enum(roleNames)).min(1)),
  BIND: z.string().default('127.0.0.1'),
  PORT: whole(1, 65_535, 4280),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
  UPTIDE_DATA: z.string().default(path.join(root, 'data')),
  UPTIDE_KEY_FILE: optional,
  CREDENTIALS_DIRECTORY: optional,
  UPTIDE_GATE: z.string().default(path.join(root, 'apps/gate/uptide-gate')),
  UPTIDE_MIGRATIONS: z.string().default(path.join(root, 'prisma/migrations')),
  // Hosts at once in one process: each is one connection and about 200 KB.
  WORKER_CONCURRENCY: whole(1, 5_000, 500),
  // Three renewals fit into one lease.
  LEASE_MS: whole(500, 600_000, 15_000),
  // Lost wake-ups are made good within this time.
  SWEEP_MS: whole(100, 600_000, 5_000),
  DATABASE_POOL: whole(2, 100, 12),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  UPTIDE_FAIL_AT: optional,
})

export type Env = z.output<typeof schema>

/** @throws Error naming each variable that is wrong and what it has to be. */
export function readEnv(source: NodeJS.ProcessEnv = process.env): Env {
  const found = schema.safeParse(source)
  if (found.success) return found.data
  const faults = found.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`)
  throw new Error(`The environment is not as it has to be:\n${faults.join('\n')}`)
}
