// Text that came from a host must not drive the operator's terminal.
import { sanitise } from '@uptide/contracts/api'

/** Inert text; line breaks of our own stay. Longer than 4096 characters a line is cut. */
export const inert = (text: string): string => text.split('\n').map((line) => sanitise(line, 4096)).join('\n')
