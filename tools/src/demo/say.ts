// How the demo speaks: headings for people, the same in a log; never more than a screen between two headings.

const color = process.stdout.isTTY ? (code: number, text: string): string => `\u001b[${code}m${text}\u001b[0m` : (_: number, text: string): string => text
const began = Date.now()

export const heading = (text: string): void => { process.stdout.write(`\n${color(1, text)} ${color(90, `(${((Date.now() - began) / 1000).toFixed(0)} s)`)}\n`) }
export const say = (text: string): void => { process.stdout.write(`${text}\n`) }
export const seconds = (): number => Math.round((Date.now() - began) / 100) / 10

export function rows(head: readonly string[], lines: readonly (readonly string[])[]): void {
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => (line[column] ?? '').length)))
  for (const line of [head, ...lines]) say(`  ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}`)
}
