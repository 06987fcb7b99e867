// Plain tables: no frames, columns as wide as needed, nothing that a host wrote can move the cursor.
import { inert } from './inert.js'

export type Cell = string | number | null | undefined

const gap = '  '
/** Widest cell before it is cut, characters. A table of eight such columns still fits a wide terminal. */
const cellCharsMax = 60

const text = (cell: Cell): string => {
  const plain = cell === null || cell === undefined || cell === '' ? '-' : inert(String(cell)).replaceAll('\n', ' ')
  return plain.length > cellCharsMax ? `${plain.slice(0, cellCharsMax - 1)}…` : plain
}

export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [head.map((title) => title.toUpperCase()), ...rows.map((row) => row.map(text))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  return cells.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join(gap).trimEnd()).join('\n')
}
