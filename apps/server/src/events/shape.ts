// An event as the API shows it: hashes in hex.
import type { Event } from '@uptide/contracts/api'
import type { StoredEvent } from '@uptide/store'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const eventShape = (row: StoredEvent): Event => ({ ...row, data: { ...row.data }, prevHash: hex(row.prevHash), hash: hex(row.hash) })
