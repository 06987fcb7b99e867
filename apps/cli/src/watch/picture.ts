// A rollout as lines of text: waves as rows of marks, then every host that is moving, with its blockers.
import type { Rollout, Target } from '@uptide/contracts/api'
import { targetMeaning, type TargetState } from '@uptide/rollout'
import { inert } from '../output/inert.js'
import { counts, duration } from '../output/words.js'

/** One mark per state, readable without colour. */
export const marks: Readonly<Record<TargetState, string>> = {
  pending: '·', checking: '?', staging: '^', loading: '+', transitioning: '~', stalled: '!', patched: 'o', baking: 'o',
  succeeded: '#', reverting: '<', reverted: '_', failed: 'X', lost: '%', skipped: '-', cancelled: '/',
}

const barChars = 20

export function bar(moved: number, all: number): string {
  const full = all > 0 ? Math.min(barChars, Math.floor((moved / all) * barChars)) : 0
  return `[${'='.repeat(full)}${' '.repeat(barChars - full)}] ${moved}/${all} tasks`
}

export function targetLine(target: Target): string {
  const progress = target.progress && ['transitioning', 'stalled', 'reverting'].includes(target.state)
    ? `  ${target.progress.moved}/${target.progress.all} tasks after ${duration(target.progress.transitionAgeMs)}` : ''
  const took = target.transitionMs !== null && ['patched', 'baking', 'succeeded'].includes(target.state) ? `  transition ${duration(target.transitionMs)}` : ''
  const blockers = target.state === 'stalled' ? target.blockers.slice(0, 5).map((one) => `\n    blocked by ${blockerLine(one)}`).join('') : ''
  return `${target.host}  ${target.state}${progress}${took}${target.reason ? `  (${target.reason.says})` : ''}${blockers}`
}

export const blockerLine = (one: Target['blockers'][number]): string =>
  `${one.comm} (pid ${one.pid}, ${one.kernelTask ? 'kernel' : 'user'} task, state ${one.state})${one.stack.length > 0 ? ` in ${one.stack.slice(0, 3).join(' < ')}` : ''}`

export function picture(rollout: Rollout, targets: readonly Target[], width: number): string[] {
  const lines = [`${rollout.name}  ${rollout.state}${rollout.reason ? `: ${rollout.reason.says}` : ''}`, `${rollout.patch} on ${rollout.hosts} hosts: ${counts(rollout.counts)}`, '']
  for (const wave of rollout.waves) {
    const own = targets.filter((one) => one.wave === wave.index)
    const row = own.map((one) => marks[one.state]).join('')
    lines.push(`${(wave.canary ? 'canary' : `wave ${wave.index + 1}`).padEnd(8)} ${wave.state.padEnd(8)} ${row.length > 0 && row.length <= width - 20 ? row : counts(wave.counts)}`)
  }
  for (const build of rollout.builds) {
    const why = build.halted ?? build.stopped
    if (why) lines.push(`${build.halted ? 'halted' : 'stopped'}  ${build.kernelRelease}: ${why.says}`)
  }
  lines.push('')
  for (const target of targets.filter((one) => targetMeaning[one.state].inFlight || targetMeaning[one.state].counts === 'bad').slice(0, 30)) {
    const progress = target.progress && ['transitioning', 'stalled', 'reverting'].includes(target.state) ? `${bar(target.progress.moved, target.progress.all)} ${duration(target.progress.transitionAgeMs)}` : (target.reason?.says ?? targetMeaning[target.state].says)
    lines.push(`  ${marks[target.state]} ${target.host.padEnd(16)} ${target.state.padEnd(14)} ${progress}`)
    if (target.state === 'stalled') for (const one of target.blockers.slice(0, 3)) lines.push(`      blocked by ${blockerLine(one)}`)
  }
  return lines.map((line) => inert(line).slice(0, width))
}
