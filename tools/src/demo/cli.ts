// The demo asks the control plane as an operator would: through the command line `uptide`.
import { spawn } from 'node:child_process'
import path from 'node:path'
import { root } from '../plane.js'
import { say } from './say.js'

export interface Operator { readonly url: string; readonly token: string }

const program = path.join(root, 'apps/cli/dist/main.js')

function run(operator: Operator, args: readonly string[], output: 'inherit' | 'pipe'): Promise<{ code: number; text: string; errors: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, UPTIDE_URL: operator.url, UPTIDE_TOKEN: operator.token }, stdio: ['ignore', output, output] })
    let text = ''; let errors = ''
    child.stdout?.on('data', (chunk: Buffer) => { text += chunk.toString('utf8') })
    child.stderr?.on('data', (chunk: Buffer) => { errors += chunk.toString('utf8') })
    child.on('error', fail)
    child.on('close', (code) => { done({ code: code ?? 1, text, errors }) })
  })
}

const shown = (args: readonly string[]): string => `  $ uptide ${args.map((arg) => (/[\s"']/.test(arg) || arg.length > 60 ? JSON.stringify(arg.length > 60 ? `${arg.slice(0, 57)}…` : arg) : arg)).join(' ')}`

/** Runs a command in sight of the user. @returns its exit code. */
export async function show(operator: Operator, ...args: string[]): Promise<number> {
  say(shown(args))
  return (await run(operator, args, 'inherit')).code
}

/** Runs a command and reads its JSON; its last line, where it prints several. @throws when it fails. */
export async function ask<T>(operator: Operator, ...args: string[]): Promise<T> {
  const { code, text, errors } = await run(operator, [...args, '--json'], 'pipe')
  const last = text.trim().split('\n').at(-1) ?? ''
  if (code !== 0) throw new Error(`uptide ${args.slice(0, 2).join(' ')} ended with ${code}: ${last || errors.trim()}`)
  return JSON.parse(last) as T
}

/** Every line of a command that prints one JSON document a line. */
export async function askLines<T>(operator: Operator, ...args: string[]): Promise<T[]> {
  const { code, text, errors } = await run(operator, [...args, '--json'], 'pipe')
  if (code !== 0) throw new Error(`uptide ${args.slice(0, 2).join(' ')} ended with ${code}: ${errors.trim() || text.trim()}`)
  return text.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as T)
}
