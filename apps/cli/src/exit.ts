// Exit codes are part of the interface: scripts depend on them. Printed by `uptide help exit-codes`.

export const exitCodes = {
  ok: { code: 0, says: 'done, and it ended as asked' },
  ended: { code: 1, says: 'it was carried out and ended badly: a rollout failed or was reverted, a probe found a problem' },
  usage: { code: 2, says: 'the command line is wrong' },
  contact: { code: 3, says: 'the server cannot be reached, or broke off' },
  access: { code: 4, says: 'no token, or the server does not accept it' },
  missing: { code: 5, says: 'there is no such thing' },
  refused: { code: 6, says: 'the server refused: bad input, or not allowed in this state' },
  timeout: { code: 7, says: 'it did not end within --timeout; it goes on without us' },
  broken: { code: 70, says: 'a fault of Uptide itself' },
} as const

export type Exit = keyof typeof exitCodes

/** Ends a command with words for people and a code for scripts. */
export class Ending extends Error {
  override readonly name = 'Ending'
  constructor(readonly exit: Exit, message: string, readonly next?: string, readonly data?: unknown) { super(message) }
}

export function exitOfStatus(status: number): Exit {
  if (status === 401 || status === 403) return 'access'
  if (status === 404) return 'missing'
  return status >= 500 ? 'broken' : 'refused'
}
