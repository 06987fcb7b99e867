import { describe, expect, test } from 'vitest'
import { parseArgs } from './args.js'

const order = (...argv: string[]) => {
  const parsed = parseArgs(argv)
  if (!('order' in parsed)) throw new Error(`not an order: ${JSON.stringify(parsed)}`)
  return parsed.order
}
const wrong = (...argv: string[]) => {
  const parsed = parseArgs(argv)
  return 'wrong' in parsed ? parsed.wrong : undefined
}

describe('The lab\'s command line', () => {
  test('boots four hosts of 6.1 and 6.12 when nothing else is said', () => {
    expect(order('up')).toMatchObject({ command: 'up', hosts: 4, kernels: ['6.1', '6.12'], append: [], json: false, accel: undefined })
  })

  test('takes values behind an option or an equals sign, and words for the kernel from several --append', () => {
    expect(order('up', '--hosts', '8', '--kernels=5.10,7.2', '--json', '--append', 'lockdown=integrity', '--append=module.sig_enforce=1 quiet', '--accel', 'tcg')).toMatchObject({
      hosts: 8, kernels: ['5.10', '7.2'], json: true, append: ['lockdown=integrity', 'module.sig_enforce=1', 'quiet'], accel: 'tcg',
    })
  })

  test('hands everything behind the host\'s name to the remote command, options included', () => {
    expect(order('ssh', '--dir', '/x', 'lab-1', 'ls', '-l', '--json')).toMatchObject({ dir: '/x', json: false, rest: ['lab-1', 'ls', '-l', '--json'] })
    expect(order('ssh', 'lab-1', '--', '-l').rest).toEqual(['lab-1', '-l'])
  })

  test.each([
    [['up', '--hosts', '0'], '--hosts takes a number from 1 to 32, not "0"'],
    [['up', '--hosts', '4x'], '--hosts takes a number from 1 to 32, not "4x"'],
    [['up', '--kernels', '6.1,6.2'], 'there is no kernel "6.2"; there are 5.10, 6.1, 6.12, 7.2'],
    [['up', '--accel', 'xen'], '--accel takes kvm or tcg, not "xen"'],
    [['up', '--wat'], 'there is no option --wat'],
    [['up', '--hosts'], '--hosts wants a value'],
    [['fly'], 'there is no command "fly"'],
    [['ssh'], 'ssh wants a host\'s name'],
    [['down', 'lab-1'], 'down takes no "lab-1"'],
  ])('refuses %j with the reason', (argv, reason) => {
    expect(wrong(...argv)).toBe(reason)
  })

  test('explains itself when asked or when nothing is asked', () => {
    for (const argv of [[], ['help'], ['up', '--help'], ['-h']]) expect(parseArgs(argv)).toEqual({ help: true })
  })
})
