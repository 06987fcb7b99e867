// Secrets at rest: AES-256-GCM under a key of their own each, that key sealed under the installation's key, both
// bound to where the secret belongs, so that a sealed value copied to another row does not open.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'

/** Text that does not print itself: logs, JSON and inspection show stars. */
export class Secret {
  readonly #text: string
  constructor(text: string) { this.#text = text }
  /** The text itself; only where it is used. */
  reveal(): string { return this.#text }
  toJSON(): string { return '***' }
  toString(): string { return '***' }
  [inspect.custom](): string { return '***' }
}

export interface Place { readonly table: string; readonly row: string; readonly field: string }

const version = 1
const keyBytes = 32
const ivBytes = 12 // NIST SP 800-38D §8.2: 96 bits
const tagBytes = 16

const bound = (place: Place, what: string): Buffer => Buffer.from(`uptide-seal@v${version}|${what}|${place.table}|${place.row}|${place.field}`)

function encrypt(key: Buffer, aad: Buffer, text: Buffer): Buffer {
  const iv = randomBytes(ivBytes)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad)
  return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, ivBytes), { authTagLength: tagBytes }).setAAD(aad)
  decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes))
  return Buffer.concat([decipher.update(sealed.subarray(ivBytes, sealed.length - tagBytes)), decipher.final()])
}

const wrappedBytes = ivBytes + keyBytes + tagBytes

export class Sealer {
  /** Version of the installation's key; stored with every sealed value. */
  readonly keyVersion = version
  readonly #key: Buffer
  constructor(key: Uint8Array) {
    if (key.byteLength !== keyBytes) throw new Error(`The installation's key must have ${keyBytes} bytes, and has ${key.byteLength}.`)
    this.#key = Buffer.from(key)
  }

  seal(place: Place, secret: Secret): Uint8Array {
    const own = randomBytes(keyBytes)
    return Buffer.concat([Buffer.from([version]), encrypt(this.#key, bound(place, 'key'), own), encrypt(own, bound(place, 'value'), Buffer.from(secret.reveal(), 'utf8'))])
  }

  /** @throws Error, without any of the content, when the key is another one, the value was changed, or it belongs elsewhere. */
  open(place: Place, sealed: Uint8Array): Secret {
    const bytes = Buffer.from(sealed)
    if (bytes[0] !== version || bytes.length < 1 + wrappedBytes + ivBytes + tagBytes) throw new Error(`What is sealed in ${place.table} ${place.row} is of a form that is not known.`)
    try {
      const own = decrypt(this.#key, bound(place, 'key'), bytes.subarray(1, 1 + wrappedBytes))
      return new Secret(decrypt(own, bound(place, 'value'), bytes.subarray(1 + wrappedBytes)).toString('utf8'))
    } catch {
      throw new Error(`What is sealed in ${place.table} ${place.row} does not open: the installation's key is not the one it was sealed with, or the value was changed. Give the key it was sealed with (UPTIDE_KEY_FILE).`)
    }
  }
}
