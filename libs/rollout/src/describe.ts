// Codes and sentences that the CLI and the API print: what stands behind every reason, and a plan in plain lines.
import type { Strategy } from './strategy.js'
import type { PlannedWave, SkippedHost } from './waves.js'

/**
 * Codes that the planner itself gives; codes of failed attempts come from the error table and are not repeated here.
 * UPPER CASE: why something was done. lower-case: what a target waits on. Stable: clients may match on them.
 */
export const reasonCodes = {
  'not-started': 'The rollout has not been started.',
  'attempt-ordered': 'An attempt waits for a worker.',
  'attempt-running': 'An attempt is under way.',
  'settled': 'Nothing more happens to it.',
  'held': 'The rollout is held.',
  'threshold': 'Too many hosts went bad.',
  'not-running': 'The rollout is not running.',
  'wave': 'Its wave has not started.',
  'retry-later': 'Its next try has its time.',
  'host-busy': 'Another rollout is at work on the host.',
  'budget': 'As many hosts are in flight as may be.',
  'window': 'No window of its schedule is open.',
  'quorum': 'Another host of its quorum is in flight.',
  'group': 'As many hosts of its group are in flight as may be.',
  'fleet-budget': 'Other rollouts have the places that the installation allows.',
  'priority': 'A rollout of higher priority wants the host first.',
  'first-use': 'Its build has yet to succeed on another host first.',
  'build-stopped': 'Its build went bad in the canary and is stopped in this rollout.',
  'artefact-halted': 'Its build harmed a host and starts nowhere until a person releases it.',
  'stalled': 'The next act of the stall policy has its time.',
  'baking': 'It is patched and watched.',
  'lost': 'Out of contact; the next look has its time.',
  'revert-later': 'The next try of its revert has its time.',
  'START': 'Its turn has come.',
  'RETRY': 'It is tried again.',
  'RESUME': 'A worker was lost; the host is asked how far it came.',
  'LOOK': 'The host is looked at, read only.',
  'NUDGE': 'Tasks that hold up the transition are woken.',
  'REVERSE': 'A stalled transition is turned round.',
  'REVERT': 'The patch is taken back.',
  'CHECK': 'The kernel is asked while the host is watched.',
  'CHECKED': 'The kernel was asked while the host is watched, and all is well.',
  'BAKED': 'The bake time is over.',
  'PATCHED': 'The kernel says the transition is complete.',
  'ALREADY_PATCHED': 'The kernel had the build active already.',
  'BAKING': 'It is patched and watched.',
  'HEALTHY': 'It is patched and stayed well.',
  'BACK': 'The host is back in contact, still patched.',
  'STALLED': 'Tasks hold up the transition.',
  'STALL_REVERSE': 'The stall policy turns the transition round.',
  'STALL_GIVEN_UP': 'The stall policy gave up and holds.',
  'REVERSED': 'The transition was turned round; the former code runs.',
  'REVERTED': 'The patch was taken back.',
  'REVERT_STALLED': 'Tasks hold up the way back.',
  'REVERT_FAILED': 'The way back failed; the host may still hold the module.',
  'REBOOTED': 'The host rebooted.',
  'LOST': 'Out of contact after the load.',
  'UNREACHABLE_AFTER_LOAD': 'Out of contact since the load, and given up.',
  'NOT_LOADED': 'The host is back and does not hold the module.',
  'MODULE_GONE': 'Somebody else unloaded the module.',
  'WORKER_GONE': 'The worker of the attempt is gone.',
  'OUTCOME_LATE': 'An attempt ended after its target was settled.',
  'NOT_STARTED': 'Nobody had begun with it when the rollout stopped.',
  'CANCELLED': 'The rollout was cancelled or taken back before its turn.',
  'WAVE': 'The wave starts.',
  'WAVE_BAKING': 'All hosts of the wave are patched and watched.',
  'WAVE_RUNNING': 'A host of the wave has to be tried again.',
  'WAVE_PASSED': 'Every host of the wave is settled and the threshold is kept.',
  'ERRORS': 'The error threshold is broken.',
  'DONE': 'Every wave has passed.',
  'REVERT_INCOMPLETE': 'Some hosts could not be taken back.',
} as const satisfies Readonly<Record<string, string>>

export type ReasonCode = keyof typeof reasonCodes

const hostsOf = (count: number): string => `${count} host${count === 1 ? '' : 's'}`

const units = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1_000]] as const

/** A span in the largest unit that states it exactly. @param ms milliseconds. */
export function spanOf(ms: number): string {
  const unit = ms === 0 ? undefined : units.find(([, size]) => ms % size === 0)
  return unit ? `${ms / unit[1]} ${unit[0]}` : `${ms} ms`
}

const failureSays: Readonly<Record<Strategy['onFailure'], string>> = {
  'hold': 'it holds, and nothing new starts until a person resumes',
  'revert-wave': 'it holds, and the wave is taken back',
  'revert-all': 'everything is taken back',
}

function stallSays({ stall }: Strategy): string {
  const acts = stall.acts.length === 0 ? 'only watched' : stall.acts.join(', then ')
  return `A transition older than ${spanOf(stall.afterMs)} is stalled: ${acts}; after ${spanOf(stall.giveUpMs)} ${stall.onGiveUp === 'reverse' ? 'it is turned round' : 'the host has failed and the rollout holds'}.`
}

/** The whole plan in plain lines: every wave and why, what happens in it, and the hosts that are left out, by reason. */
export function describePlan(waves: readonly PlannedWave[], strategy: Strategy, skipped: readonly SkippedHost[] = []): string[] {
  const total = waves.reduce((sum, wave) => sum + wave.hosts.length, 0)
  const lines = [`${hostsOf(total)} in ${waves.length} wave${waves.length === 1 ? '' : 's'}, at most ${strategy.inFlightMax} at once; each is watched for ${spanOf(strategy.bakeMs)} before it counts.`]
  for (const wave of waves) {
    lines.push(`Wave ${wave.index + 1}${wave.canary ? ', the canary' : ''}: ${hostsOf(wave.hosts.length)} (${wave.covers.map((one) => `${one.hosts} on ${one.kernel}`).join(', ')}).`)
    for (const why of wave.why) lines.push(`  ${why}`)
  }
  if (waves.length > 0) {
    lines.push(`When ${strategy.errorsMax === 0 ? 'one host goes' : `more than ${hostsOf(strategy.errorsMax)} go`} bad, ${failureSays[strategy.onFailure]}.`, 'A build that goes bad in its canary stops at once; builds for other kernels go on.', stallSays(strategy))
  }
  const byReason = new Map<string, string[]>()
  for (const { name, reason } of skipped) byReason.set(reason.says, [...(byReason.get(reason.says) ?? []), name])
  for (const [says, names] of byReason) lines.push(`Left out, ${hostsOf(names.length)}: ${says} (${names.slice(0, namesMax).join(', ')}${names.length > namesMax ? ` and ${names.length - namesMax} more` : ''})`)
  return lines
}

/** Names in one line; the whole list stands in the plan itself. */
const namesMax = 5
