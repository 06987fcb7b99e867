import { z } from 'zod'
import { address, at, id, labels, name, pageQuery, prose, reason } from './words.js'

export const hostState = z.enum(['enrolled', 'reachable', 'unreachable', 'quarantined'])
export const gateMode = z.enum(['installed', 'zero-install'])

export const loadedModule = z.object({
  name: z.string(), state: z.string(), srcversion: z.string().nullable(), replace: z.string().nullable(), stackOrder: z.string().nullable(),
})

export const host = z.object({
  id, name, address, port: z.number().int(), user: z.string(), gateMode, labels,
  state: hostState, reason: reason.nullable(),
  hostKeySha256: z.string().meta({ description: 'SHA256:… of the pinned host key' }),
  credential: z.string(),
  kernelRelease: z.string().nullable(), kernelBuildId: z.string().nullable(), arch: z.string().nullable(),
  bootId: z.string().nullable(), mechanism: z.string().nullable(), taint: z.number().int().nullable(),
  loaded: z.array(loadedModule), factsAt: at.nullable(), createdAt: at,
})
export type Host = z.infer<typeof host>

export const hostAdd = z.object({
  name, address, port: z.number().int().min(1).max(65535).default(22), user: z.string().regex(/^[a-z_][a-z0-9_.-]{0,31}$/).default('root'),
  gateMode: gateMode.default('zero-install'), labels: labels.default({}),
  /** Pinned as given. Without it the request is refused with the key the host shows, to be confirmed by a person. */
  hostKey: z.string().max(2000).regex(/^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]+={0,3}$/).optional(),
  /** Accept the shown key: its fingerprint, as `SHA256:…`, typed or piped back by a person. */
  hostKeySha256: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}=?$/).optional(),
  credential: name.optional().meta({ description: 'Name of a stored credential; default: `default`' }),
})
export const hostQuery = pageQuery.extend({
  where: prose(20_000).min(1).optional().meta({ description: 'A selector: label.role in (web, db) and kernel < 6.12' }),
  label: z.union([prose(300), z.array(prose(300)).max(50)]).optional().meta({ description: 'key=value; all must match' }),
  kernel: z.string().max(100).regex(/^[\x21-\x7e]*$/, 'a kernel release as uname -r prints it').optional(), state: hostState.optional(),
})
export const hostRetrust = z.object({ hostKeySha256: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}=?$/), reason: prose(500).min(3) })

export const probeReply = z.object({ host, ok: z.boolean(), problem: reason.nullable() })

export const credential = z.object({ id, name, kind: z.literal('ssh-key'), publicKey: z.string(), createdAt: at })
export const credentialAdd = z.object({ name, privateKey: z.string().min(50).max(20_000), passphrase: z.string().max(1000).optional() })
