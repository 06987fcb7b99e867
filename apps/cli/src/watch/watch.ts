// `rollout watch`: the stream wakes, the API tells; drawn in place on a terminal, as lines elsewhere.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rollout, Target } from '@uptide/contracts/api'
import { rolloutEnded, targetMeaning } from '@uptide/rollout'
import type { Command } from 'commander'
import type { Tools } from '../command.js'
import { Ending } from '../exit.js'
import { inert } from '../output/inert.js'
import { parseDuration } from '../output/words.js'
import { follow } from '../stream.js'
import { picture, targetLine } from './picture.js'

export interface WatchFlags {
  timeout?: string
  until?: string
  /** The state that counts as success, `succeeded` when not set. */
  wanted?: string
  /** Only these hosts matter: done when all of them are settled. */
  hosts?: string[]
}

/** Redraw at most so often, milliseconds: the eye reads no faster, and each redraw is two requests. */
const redrawMs = 250
/** Look even when nothing was heard, milliseconds. */
const lookMs = 3_000
/** Targets fetched for the picture; beyond it, waves are shown as counts only. */
const targetsMax = 500

export const watchOptions = (command: Command): Command => command
  .option('--timeout <time>', 'stop watching after this time with exit code 7; the rollout goes on')
  .option('--until <state>', 'stop watching when the rollout is in this state, with exit code 0')

interface Seen { readonly rollout: Rollout; readonly targets: readonly Target[] }

async function look(tools: Tools, id: string): Promise<Seen> {
  const rollout = await tools.client.call('rollout.show', { params: { id } })
  const targets: Target[] = []
  for await (const one of tools.client.all('rollout.targets', { params: { id } })) { targets.push(one); if (targets.length >= targetsMax) break }
  return { rollout, targets }
}

function over({ rollout, targets }: Seen, flags: WatchFlags): boolean {
  if (flags.until) return rollout.state === flags.until || rolloutEnded.has(rollout.state)
  if (flags.hosts) return targets.filter((one) => flags.hosts?.includes(one.host)).every((one) => targetMeaning[one.state].settled)
  return rolloutEnded.has(rollout.state) && Object.entries(rollout.counts).every(([state, n]) => n === 0 || targetMeaning[state as keyof typeof targetMeaning].settled)
}

/** Shows changes: a picture redrawn in place on a terminal, else a line for each target that changed. */
class Screen {
  private drawn = 0
  private readonly said = new Map<string, string>()
  constructor(private readonly json: boolean, private readonly terminal: boolean) {}

  show(seen: Seen): void {
    if (this.terminal) { this.draw(picture(seen.rollout, seen.targets, process.stdout.columns || 100)); return }
    for (const target of seen.targets) this.line(target.id, { target: target.host, state: target.state, reason: target.reason, progress: target.progress, blockers: target.blockers }, targetLine(target))
    this.line('rollout', { rollout: seen.rollout.name, state: seen.rollout.state, reason: seen.rollout.reason }, `${seen.rollout.name}  ${seen.rollout.state}${seen.rollout.reason ? `: ${seen.rollout.reason.says}` : ''}`)
  }

  private line(key: string, data: unknown, words: string): void {
    if (this.said.get(key) === words) return
    this.said.set(key, words)
    process.stdout.write(`${this.json ? JSON.stringify(data) : inert(words)}\n`)
  }

  private draw(lines: readonly string[]): void {
    const fit = lines.slice(0, Math.max(5, (process.stdout.rows || 40) - 1))
    process.stdout.write(`${this.drawn > 0 ? `\u001b[${this.drawn}A` : ''}${fit.map((line) => `\u001b[2K${line}`).join('\n')}\n\u001b[0J`)
    this.drawn = fit.length
  }
}

/** Wakes one waiter early; a ring while nobody waits is kept for the next. */
class Bell {
  private rung = false
  private waiter: (() => void) | null = null
  ring(): void { this.rung = true; this.waiter?.() }
  async wait(maxMs: number): Promise<void> {
    if (!this.rung) await new Promise<void>((done) => { const timer = setTimeout(done, maxMs); this.waiter = () => { clearTimeout(timer); done() } })
    this.rung = false
    this.waiter = null
  }
}

export async function watchRollout(tools: Tools, id: string, flags: WatchFlags): Promise<void> {
  const timeoutMs = flags.timeout === undefined ? null : parseDuration(flags.timeout)
  if (flags.timeout !== undefined && timeoutMs === null) throw new Ending('usage', `${flags.timeout} is no duration.`, 'Write 30s, 10m or 2h.')
  const stop = new AbortController()
  const screen = new Screen(tools.json, !tools.json && process.stdout.isTTY === true)
  const bell = new Bell()
  const first = await tools.client.call('rollout.show', { params: { id } })
  const listening = (async () => { for await (const _ of follow(tools.client, { rolloutId: first.id }, stop.signal)) bell.ring() })()
  // A refused stream must not be missed, but it only costs liveliness: looking goes on by the clock.
  listening.catch(() => {})
  const endAt = timeoutMs === null ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs
  try {
    for (;;) {
      const seen = await look(tools, first.id)
      screen.show(seen)
      if (over(seen, flags)) { finish(tools, seen, flags); return }
      if (Date.now() > endAt) throw new Ending('timeout', `${seen.rollout.name} is ${seen.rollout.state} after ${flags.timeout}; it goes on without us.`, `uptide rollout watch ${seen.rollout.name}`, seen.rollout)
      await bell.wait(lookMs)
      await sleep(redrawMs)
    }
  } finally { stop.abort() }
}

function finish(tools: Tools, { rollout, targets }: Seen, flags: WatchFlags): void {
  const wanted = flags.until ?? flags.wanted ?? 'succeeded'
  const well = flags.hosts ? targets.filter((one) => flags.hosts?.includes(one.host)).every((one) => one.state === 'reverted' || one.state === 'skipped') : rollout.state === wanted
  tools.result({ ...rollout, targets }, `${rollout.name} ${rollout.state}${rollout.reason ? `: ${inert(rollout.reason.says)}` : '.'}`)
  if (!well) process.exitCode = 1
}
