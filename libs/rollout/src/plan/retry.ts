// Another try: of a load, of a look, of a revert; each kind with its own end.
import type { Reason } from '../decisions.js'
import { mayMove, targetEdges } from '../states.js'
import { pauseMs } from '../rules.js'
import type { TargetView } from '../view.js'
import { because, type Draft } from './draft.js'

/** Looks at a host that does not answer for itself before it is given up. With 2 s doubling up to 60 s: about 6 minutes. */
export const lostLooksMax = 10

/** Reverts are tried longer than loads: they are what makes a host safe again. With 2 s doubling up to 60 s: about 8 minutes. */
export const revertTriesMax = 12

/** Tries the load again, if there are tries left. `touched`: the kernel may hold our module. */
export function retry(draft: Draft, target: TargetView, code: string, reason: Reason = because(code, draft.rules.sentenceOf(code)), touched = false): void {
  const { retry: limits } = draft.view.strategy
  const cannot = !mayMove(targetEdges, target.state, 'pending') && target.state !== 'pending'
  if (cannot) { draft.move(target, 'failed', reason, { touched, stall: null }); return }
  if (target.tries >= limits.attemptsMax) {
    draft.move(target, 'failed', because(code, `Given up after ${target.tries} ${target.tries === 1 ? 'try' : 'tries'}. ${reason.says}`), { touched, stall: null })
    return
  }
  const notBefore = draft.now + pauseMs(target.id, Math.max(0, target.tries - 1), limits)
  draft.move(target, 'pending', because(code, `It is tried again. ${reason.says}`), { notBefore, touched, stall: null })
  draft.wakeBy(notBefore)
}

/** Out of contact after the kernel was touched: a failure signal that may yet turn out well (law 6). */
export function lost(draft: Draft, target: TargetView, reason: Reason): void {
  const looks = target.state === 'lost' ? target.looks + 1 : 0
  if (looks >= lostLooksMax) {
    draft.move(target, 'failed', because('UNREACHABLE_AFTER_LOAD', `No contact after the load, ${looks} looks long. ${reason.says}`), { looks, touched: true, stall: null })
    return
  }
  // One look later it is no mere hiccup of the network any more. A worker that died says nothing about the host.
  if (looks === 1 && reason.code !== 'WORKER_GONE') draft.halt(target, because('LOST', `${target.hostName} is out of contact since our module was loaded. ${reason.says}`))
  const notBefore = draft.now + pauseMs(target.id, looks, draft.view.strategy.retry)
  draft.move(target, 'lost', because('LOST', `Out of contact after the load. ${reason.says}`), { looks, notBefore, touched: true })
  draft.wakeBy(notBefore)
}

/** The host was there but could not be read (another session held it, its disk was full): the state stays, the look is repeated. */
export function lookAgain(draft: Draft, target: TargetView, reason: Reason): void {
  const looks = target.looks + 1
  if (looks >= lostLooksMax) {
    draft.move(target, 'failed', because(reason.code, `It could not be read, ${looks} looks long. ${reason.says}`), { looks, touched: true, stall: null })
    return
  }
  const notBefore = draft.now + pauseMs(target.id, looks, draft.view.strategy.retry)
  draft.note(target, because(reason.code, `The host is looked at again. ${reason.says}`), { looks, notBefore })
  draft.wakeBy(notBefore)
}

/** Tries the revert again, later; after `revertTriesMax` tries it has failed, and the host may still hold our module. */
export function retryRevert(draft: Draft, target: TargetView, code: string): void {
  const looks = target.looks + 1
  if (looks >= revertTriesMax) {
    draft.move(target, 'failed', because('REVERT_FAILED', `The revert did not come to an end in ${looks} tries; the last ended with ${code}.`), { looks, stall: null })
    return
  }
  const notBefore = draft.now + pauseMs(target.id, looks, draft.view.strategy.retry)
  draft.note(target, because(code, `The revert is tried again. ${draft.rules.sentenceOf(code)}`), { looks, notBefore })
  draft.wakeBy(notBefore)
}
