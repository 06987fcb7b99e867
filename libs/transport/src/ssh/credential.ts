// Private keys as people paste them: checked before they are stored.
import ssh2 from 'ssh2'

export type CredentialCheck =
  | { readonly ok: true; readonly publicKey: string; readonly type: string }
  | { readonly ok: false; readonly code: 'NOT_A_KEY' | 'PASSPHRASE_NEEDED' | 'PASSPHRASE_WRONG' | 'PUBLIC_KEY' | 'WEAK_KEY'; readonly says: string }

/** The public half of a private key, or why it is none. Words of the parser are not passed on: they may quote the key. */
export function checkPrivateKey(text: string, passphrase?: string): CredentialCheck {
  const parsed = ssh2.utils.parseKey(text, passphrase)
  if (parsed instanceof Error) {
    if (/no passphrase|encrypted/i.test(parsed.message) && passphrase === undefined) return { ok: false, code: 'PASSPHRASE_NEEDED', says: 'The key is encrypted; its passphrase is needed.' }
    if (passphrase !== undefined && /passphrase|decrypt|integrity|bad/i.test(parsed.message)) return { ok: false, code: 'PASSPHRASE_WRONG', says: 'The passphrase does not open the key.' }
    return { ok: false, code: 'NOT_A_KEY', says: 'This is no private key in OpenSSH, PEM or PuTTY form.' }
  }
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (!key?.isPrivateKey()) return { ok: false, code: 'PUBLIC_KEY', says: 'This is a public key; the private one is needed.' }
  if (key.type === 'ssh-dss') return { ok: false, code: 'WEAK_KEY', says: 'DSA keys are not accepted; make an Ed25519 key: ssh-keygen -t ed25519.' }
  return { ok: true, type: key.type, publicKey: `${key.type} ${key.getPublicSSH().toString('base64')}` }
}

/**
 * A fresh Ed25519 key in OpenSSH's form: for simulated hosts, and for sites that want Uptide to make the key.
 * ssh2 1.17 drops a leading zero byte of the public half (one key in 256), and the file is then none: those are made anew.
 */
export function makePrivateKey(): string {
  for (;;) {
    const made = ssh2.utils.generateKeyPairSync('ed25519').private
    if (checkPrivateKey(made).ok) return made
  }
}
