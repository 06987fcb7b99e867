// The gate's line protocol, version 1. Append-only: verbs, codes and line forms may be added, never changed.
//
//   request   NONCE VERB [ARG ...]\n            then, for `stage`, exactly LENGTH bytes
//   reply     NONCE + TEXT\n                    any number of data lines
//             NONCE = COUNT\n                   done: COUNT data lines were sent
//             NONCE ! CODE DETAIL\n             refused or failed
//
// NONCE is 16 hex digits chosen by the server per request and echoed on every line of the reply; a line with another
// nonce is a protocol error. A request whose nonce cannot be read is refused under sixteen zeros. One request at a
// time. The gate says nothing unasked, except that in zero-install mode it prints one line `uptide-gate 1` when it has
// read its own text.
//
// Values in data lines are `key=value` words separated by one space. A value is percent-encoded
// (%XX of every byte outside [A-Za-z0-9_.:+/=,@()-]), so a line is always printable ASCII.

export const gateProtocolVersion = 1

/** Longest request or reply line in bytes, without the newline. */
export const gateLineBytesMax = 4096

/** A request's words: nothing a shell could read. */
export const gateArgPattern = /^[A-Za-z0-9_.:+/=,@-]{1,256}$/
export const gateModulePattern = /^[A-Za-z0-9_]{1,55}$/

/**
 * verb -> its arguments and what its data lines say.
 * `changes`: 'kernel' verbs need a lease of this session; 'disk' verbs too.
 */
export const gateVerbs = {
  hello: { args: ['VERSION'], changes: 'nothing', says: 'gate=uptide version=1 mode=installed|zero-install, bootid=UUID, release=…, build=HEX, arch=…, uptime=SECONDS' },
  lease: { args: ['HOSTID', 'TOKEN', 'ATTEMPTID'], changes: 'disk', says: 'takes the host lock for this session and raises the fencing floor; STALE_TOKEN below the floor or at it for another attempt, LOCKED when another session holds it; once a session' },
  facts: { args: [], changes: 'nothing', says: 'one key=value a line: release, build, bootid, arch, cpus (or -), memory (KiB), taint, klp=0|1, patchstate=0|1, kgraft=0|1, kpatch=0|1, stopmachine=0|1, sigenforce=Y|N|?, lockdown=none|integrity|confidentiality|?, modulesdisabled=0|1, hostname, machineid, os' },
  patches: { args: [], changes: 'nothing', says: 'patch name= enabled= transition= replace= stackorder= refcnt= taint= srcversion= build= (absent file: value -), then object patch= name= patched=, then func patch= object= name= (NAME,SYMPOS)' },
  module: { args: ['MODULE'], changes: 'nothing', says: 'module name= state= refcnt= taint= srcversion= build=; or NO_MODULE' },
  read: { args: ['PATH'], changes: 'nothing', says: 'value=…; PATH within the allow-list, else PATH_REFUSED; NO_FILE when it does not exist' },
  staged: { args: ['SHA256'], changes: 'nothing', says: 'staged=0|1' },
  stage: { args: ['SHA256', 'LENGTH'], changes: 'disk', says: 'counted bytes follow the line and are taken off the stream whatever is answered; HASH_MISMATCH, TOO_LARGE, NO_SPACE' },
  load: { args: ['MODULE', 'SHA256', 'RELEASE', 'BUILD_OR_-'], changes: 'kernel', says: 'exit=N text=…, then klog at=SECONDS text=… for kernel log lines since; WRONG_KERNEL before anything is touched. Ok means insmod was run: read what the kernel says' },
  unload: { args: ['MODULE'], changes: 'kernel', says: 'exit=N text=…' },
  write: { args: ['MODULE', 'FILE', 'VALUE'], changes: 'kernel', says: 'errno=- or a name: EBUSY, EINVAL, ENOENT, EPERM, EACCES, ?; FILE is enabled or signal; force is FORCE_REFUSED' },
  nudge: { args: ['MODULE', 'METHOD'], changes: 'kernel', says: 'METHOD signal or stopcont; nudged=COUNT' },
  scan: { args: ['MODULE'], changes: 'nothing', says: 'tasks all= patched= unpatched= undefined=' },
  blockers: { args: ['MODULE', 'LIMIT'], changes: 'nothing', says: 'task tid= pid= comm= kernel=0|1 state= stack=F+0x1,G+0x2' },
  watch: { args: ['MODULE', 'SECONDS'], changes: 'nothing', says: 'a line at once, then about one a second until the transition ends or SECONDS passed: progress age=MS transition=0|1|- enabled=0|1|- all= moved=' },
  klog: { args: ['SINCE'], changes: 'nothing', says: 'klog at=SECONDS text=… for lines later than SINCE (seconds since boot, 0 = all), at most 200' },
  health: { args: ['SINCE'], changes: 'nothing', says: 'bootid=, taint=, load1=, uptime=, oops=COUNT warn=COUNT hung=COUNT in the kernel log later than SINCE' },
  journal: { args: ['LINES'], changes: 'nothing', says: 'entry text=…, at most 200, oldest first; an entry is TIME ATTEMPTID TOKEN intent|result VERB …' },
} as const satisfies Readonly<Record<string, { args: readonly string[]; changes: 'nothing' | 'disk' | 'kernel'; says: string }>>

export type GateVerb = keyof typeof gateVerbs

/** Every code a gate may refuse with, and the exit status it uses when it must end the session for it (0 = goes on). */
export const gateCodes = {
  BAD_REQUEST: 64, BAD_VERSION: 65, UNKNOWN_VERB: 0, PATH_REFUSED: 0, NO_FILE: 0, NO_MODULE: 0,
  NO_LEASE: 0, STALE_TOKEN: 76, LOCKED: 75, WRONG_HOST: 77,
  TOO_LARGE: 0, HASH_MISMATCH: 0, NO_SPACE: 0, NOT_STAGED: 0, WRONG_KERNEL: 0,
  FORCE_REFUSED: 0, NOT_ROOT: 69, NOT_SUPPORTED: 0, STATE_DIR: 70, IO: 0,
} as const

export type GateCode = keyof typeof gateCodes
