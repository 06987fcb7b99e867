// Time for simulated hosts. A host has a clock of its own, so that one which waits does not age the others.

export interface SimClock {
  /** Milliseconds; only differences mean anything. */
  nowMs(): number
  sleep(ms: number): Promise<void>
}

/** A clock that jumps: sleeping costs no time at all. For one host, or for hosts that are driven one after the other. */
export function jumpingClock(startMs = 0): SimClock & { jump(ms: number): void } {
  let now = startMs
  const jump = (ms: number) => { now += Math.max(0, ms) }
  return { nowMs: () => now, jump, sleep: async (ms) => jump(ms) }
}

/** The machine's time, `speed` times as fast: for simulated hosts behind a real server. */
export function runningClock(speed = 1): SimClock {
  return {
    nowMs: () => performance.now() * speed,
    sleep: (ms) => new Promise((resolve) => { setTimeout(resolve, ms / speed) }),
  }
}

/**
 * One time for many hosts, moved by hand: sleepers wake in order. `advance` lets everything that became
 * runnable run before it moves on.
 */
export function sharedClock(startMs = 0): SimClock & { advance(ms: number): Promise<void> } {
  let now = startMs
  let order = 0
  const sleepers: { at: number; order: number; wake: () => void }[] = []
  return {
    nowMs: () => now,
    sleep: (ms) => new Promise((resolve) => {
      sleepers.push({ at: now + Math.max(0, ms), order: order++, wake: resolve })
    }),
    advance: async (ms) => {
      const until = now + ms
      for (;;) {
        await settled()
        sleepers.sort((a, b) => a.at - b.at || a.order - b.order)
        const first = sleepers[0]
        if (!first || first.at > until) break
        now = Math.max(now, first.at)
        sleepers.shift()
        first.wake()
      }
      now = until
    },
  }
}

/** Chains of promises run out: a macrotask comes after every microtask. */
const settled = () => new Promise<void>((resolve) => { setImmediate(resolve) })
