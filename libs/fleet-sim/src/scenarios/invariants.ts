// What must hold when a world has come to rest; the names are those of the invariants I1 to I9 of the docs. Legal edges (I8),
// budgets, groups and quorums (I5), and sound plans are watched while it runs: World throws at the moment of a breach.
import { rolloutEnded } from '@uptide/rollout'
import type { World } from '../world/world.js'

type Check = (world: World) => string[]

const checks: Readonly<Record<string, Check>> = {
  /** Everything is settled, or waits for a person by name. */
  I1: (world) => [
    ...world.unexplained(),
    ...[...world.store.attempts.values()].filter((one) => one.state === 'ordered' || one.state === 'running').map((one) => `attempt ${one.id} is still ${one.state}`),
  ],
  /** A load never reached a kernel that held the module. */
  I2: (world) => [...world.setting.hosts.values()].filter((host) => host.doubleLoads > 0).map((host) => `${host.name} was loaded over itself`),
  /** No host executed a token lower than one that it had seen. */
  I3: (world) => [...world.setting.hosts.values()].flatMap((host) => host.tokens.flatMap((token, i) => (token < (host.tokens[i - 1] ?? 0) ? [`${host.name} obeyed token ${token} after ${host.tokens[i - 1] ?? 0}`] : []))),
  /** Every move of a target was told, once. */
  I4: (world) => (world.store.moves === world.told ? [] : [`${world.store.moves} moves, ${world.told} told`]),
  /** What succeeded is active, unless its host rebooted later. */
  I6: (world) => (world.setting.faults.reboots > 0 ? [] : [...world.store.targets.values()].filter((row) => row.state === 'succeeded' && world.setting.hosts.get(row.hostId)?.module !== 'active').map((row) => `${row.id} succeeded and is not active`)),
  /** What was taken back is off. */
  I7: (world) => [...world.store.targets.values()].filter((row) => (row.state === 'reverted' || world.store.state === 'reverted') && world.setting.hosts.get(row.hostId)?.module !== 'absent').map((row) => `${row.id} is ${row.state} and its host holds the module`),
  /** A rollout that ended has nobody on the way. */
  I9: (world) => (rolloutEnded.has(world.store.state) && world.store.inFlight > 0 ? [`it is ${world.store.state} with ${world.store.inFlight} hosts in flight`] : []),
}

/** Every breach, with the law's name; at most ten of each. */
export const breachesOf = (world: World): string[] => Object.entries(checks).flatMap(([law, check]) => check(world).slice(0, 10).map((says) => `${law}: ${says}`))
