// Law 8: every host that is not patched says why. What a pending host waits on is the planner's own word, asked anew.
import { plan, type Reason } from '@uptide/rollout'
import type { Store } from '@uptide/store'
import { windowOf } from '../windows/window-of.js'

const turn: Reason = { code: 'START', says: 'Its turn has come.' }
const ended = (state: string): Reason => ({ code: 'not-running', says: `The rollout is ${state}; this host was not started.` })

/**
 * What each of the pending targets waits on now.
 * @param ids pending targets of the rollout, at most a page.
 * @returns one reason for every one of them, by id.
 */
export async function waitingOn(store: Pick<Store, 'loadRolloutView' | 'now'>, rolloutId: string, ids: readonly string[]): Promise<Map<string, Reason>> {
  if (ids.length === 0) return new Map()
  const loaded = await store.loadRolloutView(rolloutId, ids)
  if (!loaded) return new Map()
  const now = await store.now()
  const { schedule } = loaded.strategy
  const view = schedule ? { ...loaded, window: windowOf(schedule, now) } : loaded
  const made = plan(view, now)
  const said = new Map(made.waitingOn.map((one) => [one.targetId, one.reason]))
  const starting = new Set(made.decisions.flatMap((one) => (one.do === 'order-attempt' ? [one.targetId] : [])))
  return new Map(ids.map((id) => [id, said.get(id) ?? (starting.has(id) || view.state === 'running' ? turn : ended(view.state))]))
}
