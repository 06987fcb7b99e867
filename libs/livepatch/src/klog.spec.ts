import { describe, expect, it } from 'vitest'
import { callbackFailures, newestTransition, transitionMsOf, transitionsOf } from './klog.js'

const lines = (text: string) => text.trim().split('\n').map((line) => {
  const [, at = '', rest = ''] = /^\s*\[ *(\d+\.\d+)\] (.*)$/.exec(line) ?? []
  return { atSeconds: Number(at), text: rest }
})

// 6.12, two CPUs: word for word.
const stalledThenPatched = lines(`
[  112.047158] livepatch: enabling patch 'lp_target'
[  112.062830] livepatch: 'lp_target': starting patching transition
[  127.048379] livepatch: signaling remaining tasks
[  128.732404] livepatch: 'lp_target': patching complete
[  129.176153] livepatch: 'lp_target': starting unpatching transition
[  129.916518] livepatch: 'lp_target': unpatching complete`)
// 6.1: enabled, turned round twice, then let through.
const flipped = lines(`
[   99.326644] livepatch: enabling patch 'lp_clone'
[   99.335880] livepatch: 'lp_clone': starting patching transition
[   99.862914] livepatch: 'lp_clone': starting unpatching transition
[   99.863642] livepatch: 'lp_clone': starting patching transition
[  115.821644] livepatch: signaling remaining tasks
[  121.805863] livepatch: 'lp_clone': patching complete`)

describe('the transition as the kernel logged it', () => {
  it('is measured from its start to its end, each way', () => {
    expect(transitionMsOf(stalledThenPatched, 'lp_target', 'patching')).toBe(16_670)
    expect(transitionMsOf(stalledThenPatched, 'lp_target', 'unpatching')).toBe(740)
    expect(newestTransition(stalledThenPatched, 'lp_target', 'patching')?.signalled).toBe(true)
    expect(newestTransition(stalledThenPatched, 'lp_target', 'unpatching')?.signalled).toBe(false)
  })

  it('counts from its last turn', () => {
    expect(transitionsOf(flipped).map((stamp) => [stamp.direction, stamp.reversed])).toEqual([['patching', true], ['unpatching', true], ['patching', false]])
    expect(transitionMsOf(flipped, 'lp_clone', 'patching')).toBe(21_942)
    expect(transitionMsOf(flipped, 'lp_clone', 'unpatching')).toBeNull()
  })

  it('is not known while it runs, for another module, or without its start', () => {
    expect(transitionMsOf(flipped.slice(0, -1), 'lp_clone', 'patching')).toBeNull()
    expect(transitionMsOf(flipped, 'lp_other', 'patching')).toBeNull()
    expect(transitionMsOf(stalledThenPatched.slice(2, 4), 'lp_target', 'patching')).toBeNull()
    expect(transitionMsOf([], 'lp_target', 'patching')).toBeNull()
  })

  it('is the newest when a module was loaded more than once', () => {
    const again = [...stalledThenPatched, ...lines(`
[  200.000000] livepatch: 'lp_target': starting patching transition
[  200.004000] livepatch: 'lp_target': patching complete`)]
    expect(transitionMsOf(again, 'lp_target', 'patching')).toBe(4)
  })

  it('is not faked by text that a program wrote into the log', () => {
    const forged = lines(`
[  1.000000] evil: livepatch: 'lp_target': starting patching transition
[  2.000000] evil: livepatch: 'lp_target': patching complete`)
    expect(transitionMsOf(forged, 'lp_target', 'patching')).toBeNull()
  })
})

it('a callback that refused is found', () => {
  const log = lines(`
[   58.075026] livepatch: enabling patch 'lp_cberr'
[   58.075253] livepatch: pre-patch callback failed for object 'vmlinux'
[   58.075268] livepatch: failed to enable patch 'lp_cberr'
[   58.075484] livepatch: 'lp_cberr': unpatching complete`)
  expect(callbackFailures(log).map((line) => line.atSeconds)).toEqual([58.075253, 58.075268])
})
