// What the demo promises, checked against what was read; the exit code hangs on it.

export interface HostResult {
  readonly host: string
  readonly kernel: string
  readonly state: string
  /** As the kernel logged it, milliseconds: of the last patch that was loaded on this host. */
  readonly transitionMs: number | null
  readonly bootIdBefore: string
  readonly bootIdAfter: string
  /** What the host's own /proc/version says. */
  readonly behaviour: string
}

export interface Seen {
  readonly hosts: readonly HostResult[]
  readonly canaryKernels: readonly string[]
  readonly kernels: readonly string[]
  readonly stalledHost: string
  readonly stalledEvents: number
  readonly blockers: readonly string[]
  readonly firstState: string
  readonly afterFirst: Readonly<Record<string, string>>
  readonly secondState: string
  readonly revertedHost: string
  readonly chainOk: boolean
}

/** Everything that is not as promised; empty when all is. */
export function broken(seen: Seen): string[] {
  const faults: string[] = []
  const promise = (kept: boolean, says: string): void => { if (!kept) faults.push(says) }
  promise(seen.kernels.length >= 2, 'two kernel generations were promised')
  promise([...seen.canaryKernels].sort().join() === [...seen.kernels].sort().join(), `the canary holds one host of each kernel, and held ${seen.canaryKernels.join(', ')}`)
  promise(seen.stalledEvents > 0, `${seen.stalledHost} was to stall, and did not`)
  promise(seen.blockers.length > 0, `the blockers on ${seen.stalledHost} were to be listed`)
  promise(seen.firstState === 'succeeded', `the first rollout ended ${seen.firstState}`)
  for (const [host, behaviour] of Object.entries(seen.afterFirst)) promise(behaviour === 'uptide v1', `${host} shows ${behaviour} after the first rollout`)
  promise(seen.secondState === 'succeeded', `the second rollout ended ${seen.secondState}`)
  for (const host of seen.hosts) {
    const wanted = host.host === seen.revertedHost ? { state: 'reverted', behaviour: 'original' } : { state: 'succeeded', behaviour: 'uptide v2' }
    promise(host.state === wanted.state, `${host.host} is ${host.state}, not ${wanted.state}`)
    promise(host.behaviour === wanted.behaviour, `${host.host} shows ${host.behaviour}, not ${wanted.behaviour}`)
    promise(host.bootIdBefore === host.bootIdAfter && host.bootIdBefore !== '', `${host.host} has another boot id than before`)
    promise(host.transitionMs !== null, `${host.host}: the kernel's log gave no transition time`)
  }
  promise(seen.chainOk, 'the chain of events does not verify')
  return faults
}
