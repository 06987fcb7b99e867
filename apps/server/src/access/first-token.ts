// The very first start makes one admin token; who holds it makes the others.
import type { Store } from '@uptide/store'
import { createToken } from './tokens.js'

/** @returns the secret to be shown once, or null when there are tokens already. */
export async function firstToken(store: Store): Promise<string | null> {
  if ((await store.listTokens()).length > 0) return null
  return (await createToken(store, 'admin', 'system'))?.secret ?? null
}
