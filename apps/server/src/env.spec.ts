import { describe, expect, it } from 'vitest'
import { readEnv } from './env.js'

describe('the environment', () => {
  it('may be empty: one process with all roles, on loopback, on embedded stores', () => {
    const env = readEnv({ UPTIDE_ROOT: '/opt/uptide' })
    expect(env).toMatchObject({ ROLES: ['api', 'scheduler', 'worker'], BIND: '127.0.0.1', PORT: 4280, UPTIDE_DATA: '/opt/uptide/data', WORKER_CONCURRENCY: 500, LEASE_MS: 15_000, SWEEP_MS: 5_000 })
    expect(env.DATABASE_URL).toBeUndefined()
    expect(env.REDIS_URL).toBeUndefined()
  })

  it('takes a variable that is set to nothing as not set', () => {
    expect(readEnv({ DATABASE_URL: '', REDIS_URL: '', PORT: '', ROLES: '' })).toEqual(readEnv({}))
  })

  it('takes roles once each, in any spelling of the list', () => {
    expect(readEnv({ ROLES: ' worker, worker ,api' }).ROLES).toEqual(['worker', 'api'])
  })

  it.each([
    [{ ROLES: 'api,scheduller' }, 'ROLES has to name roles, separated by commas: api, scheduler, worker'],
    [{ ROLES: ' , ' }, 'ROLES has to name at least one role: api, scheduler, worker'],
    [{ PORT: '70000' }, 'PORT has to be a whole number from 1 to 65535'],
    [{ PORT: '0x10' }, 'PORT has to be a whole number from 1 to 65535'],
    [{ LEASE_MS: '15s' }, 'LEASE_MS has to be a whole number of milliseconds from 500 to 600000'],
    [{ DATABASE_URL: 'mysql://h/db' }, 'DATABASE_URL has to be an address like postgresql://user:password@host:5432/uptide (without it an embedded PostgreSQL is used)'],
    [{ REDIS_URL: 'localhost:6379' }, 'REDIS_URL has to be an address like redis://host:6379/0 (without it the queue is kept in PostgreSQL)'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL has to be one of trace, debug, info, warn, error, silent'],
  ])('%j is refused, by name and with the way out', (given, says) => {
    expect(() => readEnv(given)).toThrow(`The environment is not as it has to be:\n  ${says}`)
  })

  it('names every variable that is wrong at once, and repeats none of their values', () => {
    const refusal = (() => { try { readEnv({ PORT: 'x', REDIS_URL: 'http://user:hunter2@h', SWEEP_MS: '1' }) } catch (error) { return (error as Error).message } return '' })()
    expect(refusal.split('\n')).toHaveLength(4)
    expect(refusal).not.toContain('hunter2')
  })
})
