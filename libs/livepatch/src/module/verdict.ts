// What reading a module's file gives: facts, or one refusal with its sentence.

export interface PatchedObjectFact { readonly name: string; readonly functions: readonly string[] }

export interface SignatureFact {
  /** Bytes of the signature itself, without the trailer. That there is one does not mean that it is a good one. */
  readonly bytes: number
  /** 0 PGP, 1 X.509, 2 PKCS#7 (include/linux/module_signature.h); kernels of today make and take 2 alone. */
  readonly idType: number
}

/** Which part of a host loads it: the kernel's own livepatch interface, or kpatch's core module (kpatch.ko). */
export type ModuleFlavour = 'klp' | 'kpatch-core'

export interface ModuleParameter { readonly name: string; readonly type: string | null; readonly description: string | null }

export interface ModuleFacts {
  readonly name: string
  readonly flavour: ModuleFlavour
  readonly kernelRelease: string
  readonly vermagic: string
  readonly arch: string
  readonly endianness: 'little' | 'big'
  readonly srcversion: string | null
  /** Hex of the GNU build id, null when the file has none. */
  readonly moduleBuildId: string | null
  readonly version: string | null
  readonly description: string | null
  readonly license: string | null
  readonly depends: readonly string[]
  readonly intree: boolean
  readonly retpoline: boolean
  /** The commit of SUSE's livepatch sources it was built from. */
  readonly klpGitRevision: string | null
  readonly parameters: readonly ModuleParameter[]
  readonly objects: readonly PatchedObjectFact[]
  readonly objectsSource: 'kpatch.funcs' | 'klp-build' | 'klp_object' | 'unknown'
  /** Symbols of other modules and of the kernel that its code refers to (`.klp.rela`, `.klp.sym`): not what it patches. */
  readonly references: readonly { readonly object: string; readonly symbols: readonly string[] }[]
  readonly replace: 'yes' | 'no' | 'unknown'
  readonly rollbackRisk: { readonly level: 'probably' | 'needs-review'; readonly reasons: readonly string[] }
  readonly signature: SignatureFact | null
}

/** Why a file is refused: code -> what an operator reads. `WHAT` is filled in. */
export const refusals = {
  EMPTY: 'The file is empty.',
  TOO_LARGE: 'The file is larger than 64 MiB; no livepatch is.',
  COMPRESSED: 'The file is compressed (WHAT). Unpack it first: the bytes that are checked must be the bytes that are loaded.',
  NOT_ELF: 'This is no kernel module: it is not an ELF file.',
  UNSUPPORTED: 'This ELF file is WHAT, which no supported kernel loads.',
  NOT_RELOCATABLE: 'This is an ELF file but no kernel module: it is WHAT, and a module is relocatable.',
  TRUNCATED: 'The file is cut off: WHAT lies beyond its end.',
  CORRUPT: 'The file is damaged: WHAT.',
  NO_MODINFO: 'This is no kernel module: it has no .modinfo section.',
  NO_VERMAGIC: 'The module does not say which kernel it was built for (no vermagic).',
  AMBIGUOUS: 'The module says WHAT twice, with different values.',
  NOT_A_LIVEPATCH: 'This is a kernel module but no livepatch: its .modinfo does not say livepatch=Y.',
  OTHER_FLAVOUR: 'This livepatch is made for WHAT, which this installation does not drive.',
  BAD_SIGNATURE_TRAILER: 'The module ends in the mark of a signature, but the signature cannot be found: WHAT.',
} as const

export type RefusalCode = keyof typeof refusals
export interface ModuleRefusal {
  readonly ok: false
  readonly code: RefusalCode
  readonly says: string
  /** Byte of the file where the fault was met, when there is one such place. */
  readonly at?: number
}
export type ModuleVerdict = { readonly ok: true; readonly facts: ModuleFacts } | ModuleRefusal

/** Thrown inside the reader only; `readModuleFile` turns it into a verdict. */
export class Refuse extends Error {
  constructor(readonly code: RefusalCode, what = '', readonly at?: number) { super(refusals[code].replace('WHAT', () => what)) }
}
