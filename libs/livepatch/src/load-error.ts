// What a failed insmod means: its text names an errno, and only the kernel log tells the cases of one errno apart.
// Rules in order, first match wins; every text and log line was printed by a real kernel or stands in its source.
import type { ErrorCode } from './errors.js'
import { sanitise } from './sanitise.js'

export interface LoadAttempt {
  readonly module: string
  /** insmod's exit status. */
  readonly exit: number
  /** What insmod printed. */
  readonly text: string
  /** The kernel log's lines since the load was asked for, without their stamps. */
  readonly klog: readonly string[]
}

export interface LoadVerdict { readonly code: ErrorCode; readonly detail: string }

interface LoadRule {
  readonly code: ErrorCode
  /** What insmod says, kmod's and busybox's words; null: whatever it says. */
  readonly text: RegExp | null
  /** A line that must stand in the kernel log; null: none is needed. */
  readonly log: RegExp | null
  /** True when a kernel log without any line is what tells this case. */
  readonly silent?: true
}

const busy = /device or resource busy/i
const invalid = /invalid (?:parameters|argument)/i
const format = /invalid module format/i
const symbol = /unknown symbol in module/i
const denied = /operation not permitted/i

const rules: readonly LoadRule[] = [
  { code: 'ALREADY_LOADED', text: /file exists/i, log: null },
  // A callback's own errno is passed through, so its line counts before the errno does.
  { code: 'CALLBACK_REFUSED', text: null, log: /pre-patch callback failed/ },
  { code: 'HOOK_CONFLICT', text: busy, log: /failed to register ftrace handler/ },
  { code: 'ACTIVENESS', text: busy, log: /activeness safety check failed/ },
  { code: 'TRANSITION_BUSY', text: busy, log: null },
  { code: 'SYMBOL_MISMATCH', text: invalid, log: /symbol '.*' not found in symbol table|unresolvable ambiguity for symbol|symbol position \d+ for symbol|kallsyms size lookup failed/ },
  { code: 'STATE_INCOMPATIBLE', text: invalid, log: /not compatible with the already installed livepatches/ },
  { code: 'NOT_A_LIVEPATCH', text: invalid, log: /is not marked as a livepatch module/ },
  { code: 'CORRUPT', text: invalid, log: null, silent: true },
  { code: 'LOAD_REFUSED', text: invalid, log: null },
  { code: 'KERNEL_MISMATCH', text: format, log: /version magic '|disagrees about version of symbol|section size must match the kernel's/ },
  { code: 'NOT_SUPPORTED', text: format, log: /livepatch support is disabled/ },
  { code: 'CORRUPT', text: format, log: null },
  { code: 'KERNEL_MISMATCH', text: /wrong symbol version/i, log: null },
  { code: 'SYMBOL_MISMATCH', text: symbol, log: /kallsyms size lookup failed|not found in symbol table/ },
  { code: 'MISSING_DEPENDENCY', text: symbol, log: null },
  { code: 'SIGNATURE_REJECTED', text: /key was rejected by service|required key not available/i, log: null },
  { code: 'SIGNATURE_BAD', text: /bad message/i, log: null },
  { code: 'LOCKDOWN', text: denied, log: /lockdown: .*module loading is restricted/i },
  { code: 'PERMISSION', text: denied, log: null },
  { code: 'PERMISSION', text: /permission denied/i, log: null },
  { code: 'NOT_SUPPORTED', text: /no such device|function not implemented|not supported/i, log: null },
  { code: 'NO_MEMORY', text: /cannot allocate memory|out of memory/i, log: null },
  { code: 'NOT_STAGED', text: /no such file or directory/i, log: null },
  { code: 'LOAD_REFUSED', text: /could not insert module|can't insert/i, log: null },
  { code: 'LOAD_FAILED', text: null, log: null },
]

// Other modules may be loaded meanwhile; a line that names a module must name ours.
const namesAnother = (line: string, module: string) => {
  const named = /^(?:module )?([A-Za-z0-9_]{1,55}): (?:disagrees about|version magic|\.gnu\.linkonce|module_layout)/.exec(line)?.[1]
    ?? /^livepatch: (?:module ([A-Za-z0-9_]{1,55}) is not marked|(?:enabling|failed to enable) patch '([A-Za-z0-9_]{1,55})')/.exec(line)?.slice(1).find(Boolean)
  return named !== undefined && named !== module
}

/** The code for a load that did not come about, and the words that show it. Source: kernel and kmod texts, lab transcripts. */
export function loadErrorOf(attempt: LoadAttempt): LoadVerdict {
  const klog = attempt.klog.filter((line) => !namesAnother(line, attempt.module))
  for (const rule of rules) {
    if (rule.text && !rule.text.test(attempt.text)) continue
    if (rule.silent && klog.length > 0) continue
    const line = rule.log ? klog.find((each) => rule.log!.test(each)) : undefined
    if (rule.log && line === undefined) continue
    const words = attempt.text.replace(/^.*could not insert module [^:]*: /, '').trim()
    return { code: rule.code, detail: sanitise([words || `insmod ended with ${attempt.exit}`, line].filter(Boolean).join(' · '), 300) }
  }
  throw new Error('the last rule of load-error.ts matches everything')
}
