// Reading from people and pipes.
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { Ending } from '../exit.js'

/** One line from standard input; not echoed when a person types it. */
export async function secretFromInput(prompt: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => { done() } })
  if (process.stdin.isTTY) process.stderr.write(prompt)
  const reader = createInterface({ input: process.stdin, output: silent, terminal: process.stdin.isTTY === true })
  try {
    for await (const line of reader) return line.trim()
    return ''
  } finally {
    reader.close()
    if (process.stdin.isTTY) process.stderr.write('\n')
  }
}

export async function fileBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try { return new Uint8Array(await readFile(file)) } catch (error) {
    throw new Ending('usage', `${file} cannot be read: ${(error as Error).message}`)
  }
}

/** `key=value` words as labels. */
export function labelsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => {
    const cut = word.indexOf('=')
    if (cut < 1) throw new Ending('usage', `A label is written key=value, not ${word}.`)
    return [word.slice(0, cut), word.slice(cut + 1)]
  }))
}

export const collect = (value: string, before: string[] = []): string[] => [...before, value]

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new Ending('usage', `${text} is not a whole number.`)
  return Number(text)
}
