// What every role stands on; made once in main.ts. An abstract class, so that Nest can inject it by its name.
import type { Store } from '@uptide/store'
import type { Logger } from 'pino'
import type { Env } from '../env.js'
import type { Reach } from '../execute/reach.js'
import type { Queues } from '../queues/index.js'
import type { Sealer } from '../secrets/seal.js'

export abstract class Parts {
  abstract readonly env: Env
  abstract readonly store: Store
  abstract readonly queues: Queues
  abstract readonly sealer: Sealer
  abstract readonly reach: Reach
  abstract readonly log: Logger
}

/** A role that runs. Stopping waits for what is under way, within the time main.ts grants. */
export interface Running { stop(): Promise<void> }
