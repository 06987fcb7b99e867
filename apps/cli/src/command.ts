// What every command gets: a client, a way to print, and one place where endings become exit codes.
import { type Command, Option } from 'commander'
import { Client } from './client.js'
import { Ending, exitCodes } from './exit.js'
import { inert } from './output/inert.js'
import { settings, type Settings } from './settings.js'

export interface Tools {
  readonly client: Client
  readonly settings: Settings
  readonly json: boolean
  /** Words for people; silent under --json. */
  print(text: string): void
  /** The result: one JSON document under --json, else the words. */
  result(data: unknown, words: string): void
}

interface CommonFlags { json?: boolean; url?: string }

const write = (text: string): void => { process.stdout.write(`${text}\n`) }

export function fail(ending: Ending, json: boolean): void {
  process.exitCode = exitCodes[ending.exit].code
  if (json) write(JSON.stringify({ error: { exit: exitCodes[ending.exit].code, kind: ending.exit, says: ending.message, next: ending.next ?? null, problem: ending.data ?? null } }))
  else process.stderr.write(`uptide: ${inert(ending.message)}\n${ending.next ? `        ${inert(ending.next)}\n` : ''}`)
}

/** Wraps a command's action: common flags, a client, endings. */
export function action<A extends unknown[]>(run: (tools: Tools, ...args: A) => Promise<void>): (this: Command, ...args: unknown[]) => Promise<void> {
  return async function act(this: Command, ...all: unknown[]): Promise<void> {
    const flags = this.optsWithGlobals<CommonFlags>()
    const json = flags.json === true
    try {
      const found = await settings(flags)
      await run({
        client: new Client(found), settings: found, json,
        print: (text) => { if (!json) write(text) },
        result: (data, words) => { write(json ? JSON.stringify(data) : words) },
      }, ...(all.slice(0, -1) as A))
    } catch (error) {
      const ending = error instanceof Ending ? error : new Ending('broken', error instanceof Error ? (error.stack ?? error.message) : String(error), 'This is a fault of Uptide; please report it with the text above.')
      fail(ending, json)
    }
  }
}

export const jsonOption = (): Option => new Option('--json', 'print one JSON document instead of words')
