// Named places where a test may have this process die as by power loss. Inert unless armed at the start.
import type { Env } from './env.js'

export const failPoints = [
  'reconcile-view', 'reconcile-plan', 'reconcile-commit', 'reconcile-ring',
  'claim', 'channel-open', 'phase-before', 'phase-after', 'step-before', 'step-after', 'end-before', 'end-after', 'attempt-ring',
] as const
export type FailPoint = (typeof failPoints)[number]

let armed: { point: string; step: string | null; left: number } | null = null

/** `POINT`, `POINT:N` (the n-th time) or `POINT@STEP` for the driver's step of that name. @throws on a name that does not exist. */
export function armFailPoint(spec: Env['UPTIDE_FAIL_AT']): void {
  if (spec === undefined) { armed = null; return }
  const match = /^([a-z-]+)(?:@([a-z-]+))?(?::(\d+))?$/.exec(spec)
  if (!match || !failPoints.includes(match[1] as FailPoint)) throw new Error(`UPTIDE_FAIL_AT: there is no fail-point ${spec}. There are: ${failPoints.join(', ')}.`)
  armed = { point: match[1] ?? '', step: match[2] ?? null, left: Number(match[3] ?? 1) }
}

export function reached(point: FailPoint, step?: string): void {
  if (armed === null || armed.point !== point || (armed.step !== null && armed.step !== step)) return
  armed.left -= 1
  if (armed.left === 0) process.kill(process.pid, 'SIGKILL')
}
