// Every code an attempt can end with, from the kernel, the gate or the road to it: whether a retry can help,
// and the one sentence an operator reads. One table; the retry policy and every text derive from it.

/**
 * never: the same try gives the same answer. after-transition: as soon as another transition has ended.
 * backoff: later, at growing intervals.
 */
export type Retry = 'never' | 'after-transition' | 'backoff'

export interface ErrorMeaning { readonly retry: Retry; readonly says: string; readonly advice: string }

export const errorCodes = {
  // What the kernel says.
  TRANSITION_BUSY: { retry: 'after-transition', says: 'Another livepatch is in transition on the host; the kernel takes one at a time.', advice: 'Wait until it ends, or clear its blockers.' },
  ACTIVENESS: { retry: 'backoff', says: 'A function to be patched was in use at the moment of patching.', advice: 'Try again shortly; on a busy host, at a quieter time.' },
  HOOK_CONFLICT: { retry: 'never', says: 'A function to be patched is already hooked by a tracer, a probe or another patcher, or ftrace is off.', advice: 'Look at enabled_functions and kprobes/list on the host, stop that tracer, and set kernel.ftrace_enabled to 1.' },
  KERNEL_MISMATCH: { retry: 'never', says: 'The build is not for the kernel that runs on the host.', advice: 'Add a build for exactly this kernel to the patch.' },
  SYMBOL_MISMATCH: { retry: 'never', says: 'The kernel does not have a function that the build wants to patch.', advice: 'The build was made for another build of this kernel: rebuild it.' },
  STATE_INCOMPATIBLE: { retry: 'never', says: 'The kernel holds state of a newer livepatch that this build does not know.', advice: 'Use a newer patch, or reboot.' },
  SIGNATURE_REJECTED: { retry: 'never', says: 'The kernel loads only modules signed with a key that it knows, and this one is not.', advice: 'Sign the build, and enrol its key on the host.' },
  SIGNATURE_BAD: { retry: 'never', says: 'The signature on the build does not fit its bytes.', advice: 'Sign the build again, and do not strip it afterwards.' },
  LOCKDOWN: { retry: 'never', says: 'The kernel is locked down and refuses unsigned modules.', advice: 'Sign the build with a key that the kernel trusts.' },
  PERMISSION: { retry: 'never', says: 'The host does not allow modules to be loaded.', advice: 'Look at kernel.modules_disabled and at the rights of the gate.' },
  NOT_SUPPORTED: { retry: 'never', says: 'The kernel on the host cannot be live-patched in this way.', advice: 'Boot a kernel with CONFIG_LIVEPATCH and the consistency model.' },
  NOT_A_LIVEPATCH: { retry: 'never', says: 'The build is a kernel module, but not a livepatch.', advice: 'Build it with MODULE_INFO(livepatch, "Y").' },
  CORRUPT: { retry: 'never', says: 'The kernel cannot read the build.', advice: 'Upload the build again.' },
  MISSING_DEPENDENCY: { retry: 'never', says: 'The build needs a symbol that the kernel does not offer.', advice: 'Load the module it depends on, or rebuild it for this mechanism.' },
  ALREADY_LOADED: { retry: 'never', says: 'Another module with the same name is loaded on the host.', advice: 'Revert the one that is loaded, or give the build a name of its own.' },
  ORDER_VIOLATION: { retry: 'never', says: 'This kernel lets only the newest livepatch be disabled.', advice: 'Revert the newer ones first.' },
  NOT_REVERSIBLE: { retry: 'never', says: 'This mechanism cannot turn a running change round.', advice: 'Wait until it ends.' },
  PINNED: { retry: 'never', says: 'The module is disabled, but the kernel holds on to it until the next reboot.', advice: 'Plan a reboot before another patch of this name.' },
  IN_USE: { retry: 'backoff', says: 'The module is still in use.', advice: 'Try again shortly.' },
  CALLBACK_REFUSED: { retry: 'never', says: 'A callback of the build refused to patch this host.', advice: 'Ask who wrote the patch what its callback checks.' },
  NO_MEMORY: { retry: 'backoff', says: 'The kernel has no memory to load the build.', advice: 'Free memory on the host.' },
  LOAD_REFUSED: { retry: 'never', says: 'The kernel refused the build for a reason that it did not name.', advice: 'Read the kernel log of the host.' },
  LOAD_FAILED: { retry: 'backoff', says: 'The build was not loaded, and nothing says why.', advice: 'Read the gate journal and the kernel log of the host.' },
  REVERSED: { retry: 'never', says: 'Someone turned the transition round before it ended.', advice: 'Find out who disabled the patch, then try again.' },
  NOT_ACTIVE: { retry: 'never', says: 'The kernel does not have the patch active.', advice: 'Roll the patch out to this host again.' },
  STILL_ACTIVE: { retry: 'backoff', says: 'The kernel took the order to disable the patch, but has it active.', advice: 'Look at the host: someone may have enabled it again.' },
  OBJECT_UNPATCHED: { retry: 'never', says: 'A module that the build patches is loaded, but the kernel has not patched it.', advice: 'Revert, and read the kernel log of the host.' },
  STALLED: { retry: 'backoff', says: 'The transition is past its limit.', advice: 'Look at the blockers.' },
  UNKNOWN_STATE: { retry: 'backoff', says: 'What the host says of the module makes no sense together.', advice: 'Look at /sys/kernel/livepatch and /sys/module on the host.' },
  BOOT_CHANGED: { retry: 'backoff', says: 'The host was rebooted.', advice: 'Find out whether it crashed before the patch goes to it again.' },
  // What a watched host shows.
  KERNEL_OOPS: { retry: 'never', says: 'The kernel reported an oops after the patch went in.', advice: 'Revert, and keep the kernel log.' },
  KERNEL_WARNING: { retry: 'never', says: 'The kernel reported a warning after the patch went in.', advice: 'Read the kernel log; revert if the patch is in its trace.' },
  HUNG_TASKS: { retry: 'never', says: 'The kernel reported hung tasks after the patch went in.', advice: 'Read the kernel log; revert if the patch is in a trace.' },
  // What the gate says.
  BAD_REQUEST: { retry: 'never', says: 'The gate did not understand the control plane.', advice: 'Bring gate and control plane to versions that fit.' },
  BAD_VERSION: { retry: 'never', says: 'The gate speaks another version of the protocol.', advice: 'Bring the gate on the host up to date.' },
  UNKNOWN_VERB: { retry: 'never', says: 'The gate on the host is older than what was asked of it.', advice: 'Bring the gate on the host up to date.' },
  PATH_REFUSED: { retry: 'never', says: 'The gate does not let that file be read.', advice: 'Report this: the control plane asked for something it may not have.' },
  NO_FILE: { retry: 'never', says: 'The host does not have that file.', advice: 'Report this with the kernel release of the host.' },
  NO_MODULE: { retry: 'never', says: 'The module is not loaded.', advice: 'Nothing to do.' },
  NO_LEASE: { retry: 'never', says: 'The gate was asked to change something without a lease.', advice: 'Report this: the control plane broke its own rule.' },
  STALE_TOKEN: { retry: 'never', says: 'The host has taken orders from a newer attempt.', advice: 'Nothing to do: the newer attempt counts.' },
  LOCKED: { retry: 'backoff', says: 'Another session holds the host.', advice: 'Wait until it ends.' },
  WRONG_HOST: { retry: 'never', says: 'The machine that answered is enrolled as another host.', advice: 'Compare the address of the host with its machine id.' },
  TOO_LARGE: { retry: 'never', says: 'The build is larger than the gate takes.', advice: 'Strip its debug information before signing.' },
  HASH_MISMATCH: { retry: 'backoff', says: 'The build arrived damaged.', advice: 'Try again; if it repeats, look at the stored artefact.' },
  NO_SPACE: { retry: 'backoff', says: 'The host has no room for the build.', advice: 'Free space below the state directory of the gate.' },
  NOT_STAGED: { retry: 'backoff', says: 'The build is not on the host.', advice: 'Try again.' },
  WRONG_KERNEL: { retry: 'never', says: 'The gate refused: the build is not for the kernel that runs.', advice: 'Add a build for exactly this kernel to the patch.' },
  FORCE_REFUSED: { retry: 'never', says: 'The gate never forces a transition.', advice: 'Wait, nudge or reverse.' },
  NOT_ROOT: { retry: 'never', says: 'The gate does not run as root.', advice: 'Install the gate with its sudo rule.' },
  STATE_DIR: { retry: 'never', says: 'The gate cannot write its state.', advice: 'Look at the state directory of the gate.' },
  IO: { retry: 'backoff', says: 'The host could not read or write a file.', advice: 'Look at the disk of the host.' },
  // What the road says.
  UNREACHABLE: { retry: 'backoff', says: 'The host does not answer.', advice: 'Look at its network and at its SSH service.' },
  CONNECT_TIMEOUT: { retry: 'backoff', says: 'The host takes connections but says nothing.', advice: 'Look at the load of the host.' },
  AUTH_FAILED: { retry: 'never', says: 'The host does not accept our key.', advice: 'Put the public key in place for the gate user.' },
  HOST_KEY_CHANGED: { retry: 'never', says: 'The host key is not the one that was pinned.', advice: 'Find out whether the machine was reinstalled or someone is in between; then pin it again.' },
  HOST_KEY_UNKNOWN: { retry: 'never', says: 'No host key is pinned for this host.', advice: 'Enrol the host again.' },
  CHANNEL_REFUSED: { retry: 'backoff', says: 'The host does not let the gate start.', advice: 'Look at MaxSessions and at the forced command.' },
  GATE_MISSING: { retry: 'never', says: 'What answers on the host is not the gate.', advice: 'Install the gate, or use zero-install mode.' },
  REPLY_TIMEOUT: { retry: 'backoff', says: 'The gate did not answer in time.', advice: 'Look at the load of the host.' },
  PROTOCOL: { retry: 'never', says: 'The host answered nonsense.', advice: 'Look at what the gate user prints when it logs in.' },
  TOO_MUCH_OUTPUT: { retry: 'never', says: 'The host sent more than it may.', advice: 'Look at what the gate user prints when it logs in.' },
  CONTACT_LOST: { retry: 'backoff', says: 'The connection to the host broke.', advice: 'Look at whether the host is up.' },
  CANCELLED: { retry: 'backoff', says: 'The control plane stopped the attempt.', advice: 'Nothing to do.' },
  CREDENTIAL_UNUSABLE: { retry: 'never', says: 'The stored credential of the host cannot be opened.', advice: 'Start the control plane with the key it was sealed with, or give the host another credential.' },
  ARTEFACT_MISSING: { retry: 'never', says: 'The control plane does not have the bytes of the build.', advice: 'Upload the build again.' },
} as const satisfies Readonly<Record<string, ErrorMeaning>>

export type ErrorCode = keyof typeof errorCodes

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code)
}

/** Whether a retry can help. A code that is not in the table is never retried: nothing is known of it. */
export function retryOf(code: string): Retry {
  return isErrorCode(code) ? errorCodes[code].retry : 'never'
}

/** The one sentence an operator reads. A code that is not in the table is named, which is all that is known of it. */
export function sentenceOf(code: string): string {
  return isErrorCode(code) ? errorCodes[code].says : `The host ended with a code that is not known: ${/^[A-Z0-9_]{1,40}$/.test(code) ? code : '?'}.`
}

/** What an operator can do about it; empty for a code that is not in the table. */
export function adviceOf(code: string): string {
  return isErrorCode(code) ? errorCodes[code].advice : ''
}
