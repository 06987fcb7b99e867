// A selector as a request brings it: read, or refused with the place that is wrong.
import { readSelector, type Selector } from '@uptide/rollout'
import { refuse } from '../http/problem.js'

/** @param path where in the request it stands. */
export function selectorOf(text: string, path: string): Selector {
  const read = readSelector(text)
  if (read.ok) return read.selector
  const { says, at, shown } = read.fault
  throw refuse(422, 'BAD_SELECTOR', `The selector cannot be read at character ${at + 1}: ${says}\n${shown}`, { at: [{ path, says }] })
}
