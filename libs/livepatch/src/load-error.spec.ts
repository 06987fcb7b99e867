import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isErrorCode } from './errors.js'
import { loadErrorOf } from './load-error.js'

const transcripts = readFileSync(new URL('load-error.transcripts.txt', import.meta.url), 'utf8').split(/^== /m).slice(1).map((block) => {
  const [head = '', text = '', ...log] = block.trim().split('\n')
  const [kernel = '', code = '', module = ''] = head.split(' ')
  return { kernel, code, module, text, klog: log.map((line) => line.replace(/^\[ *\d+\.\d+\] /, '')) }
})

describe('what four kernels said of loads that failed', () => {
  it('holds transcripts of all four', () => {
    expect(new Set(transcripts.map((each) => each.kernel))).toEqual(new Set(['5.10', '6.1', '6.12', '7.2']))
    expect(transcripts.length).toBeGreaterThan(60)
  })

  it.each(transcripts.map((each, index) => [`${index + 1}: ${each.kernel} ${each.module} is ${each.code}`, each] as const))('%s', (_name, each) => {
    expect(loadErrorOf({ module: each.module, exit: 1, text: each.text, klog: each.klog }).code).toBe(each.code)
  })
})

describe('what no transcript holds but sources do', () => {
  const cases: readonly (readonly [string, string, readonly string[], string])[] = [
    ['a callback that says busy is a callback that refuses', 'insmod: ERROR: could not insert module m.ko: Device or resource busy', ["livepatch: enabling patch 'm'", "livepatch: pre-patch callback failed for object 'vmlinux'"], 'CALLBACK_REFUSED'],
    ['a state that is too new', 'insmod: ERROR: could not insert module m.ko: Invalid parameters', ['livepatch: Livepatch patch (m) is not compatible with the already installed livepatches.'], 'STATE_INCOMPATIBLE'],
    ['a broken signature', 'insmod: ERROR: could not insert module m.ko: Bad message', [], 'SIGNATURE_BAD'],
    ['an old kernel that enforces signatures', 'insmod: ERROR: could not insert module m.ko: Required key not available', [], 'SIGNATURE_REJECTED'],
    ['modules are disabled', 'insmod: ERROR: could not insert module m.ko: Operation not permitted', [], 'PERMISSION'],
    ['a kernel without livepatch', 'insmod: ERROR: could not insert module m.ko: Invalid module format', ['m: module is marked as livepatch module, but livepatch support is disabled'], 'NOT_SUPPORTED'],
    ['a module of kpatch core', 'insmod: ERROR: could not insert module m.ko: Unknown symbol in module, or unknown parameter (see dmesg)', ['m: Unknown symbol kpatch_register (err -2)'], 'MISSING_DEPENDENCY'],
    ['a function in use under kpatch core', 'insmod: ERROR: could not insert module m.ko: Device or resource busy', ['kpatch: activeness safety check failed for f'], 'ACTIVENESS'],
    ['no memory', 'insmod: ERROR: could not insert module m.ko: Cannot allocate memory', [], 'NO_MEMORY'],
    ['the words of busybox', "insmod: can't insert 'm.ko': File exists", [], 'ALREADY_LOADED'],
    ['the format words of busybox', "insmod: can't insert 'm.ko': invalid module format", ["m: version magic 'a' should be 'b'"], 'KERNEL_MISMATCH'],
    ['nothing said at all', '', [], 'LOAD_FAILED'],
  ]
  it.each(cases)('%s', (_name, text, klog, code) => {
    expect(loadErrorOf({ module: 'm', exit: 1, text, klog }).code).toBe(code)
  })

  it('does not take another module’s lines for its own', () => {
    const klog = ['livepatch: module other is not marked as a livepatch module', "livepatch: symbol 'f' not found in symbol table"]
    expect(loadErrorOf({ module: 'm', exit: 1, text: 'insmod: ERROR: could not insert module m.ko: Invalid parameters', klog }).code).toBe('SYMBOL_MISMATCH')
  })
})

it('whatever a host says, there is a code of the table and a short inert detail', () => {
  fc.assert(fc.property(fc.string(), fc.array(fc.string({ unit: 'binary' }), { maxLength: 20 }), fc.integer({ min: 0, max: 255 }), (text, klog, exit) => {
    const verdict = loadErrorOf({ module: 'm', exit, text, klog })
    return isErrorCode(verdict.code) && verdict.detail.length <= 300 && !/[\u0000-\u001f\u007f-\u009f]/.test(verdict.detail)
  }), { verbose: 1 })
})
