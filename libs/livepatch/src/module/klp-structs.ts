// Hand-written livepatches: struct klp_patch, klp_object and klp_func in .data (include/linux/livepatch.h), followed
// by their relocations. Sizes differ by kernel and configuration, so they are not known but found: an array's symbol
// tells its whole size, and only one way of cutting it into cells puts every pointer where the struct has one.
import type { Elf, Relocation, Section, Symbol } from './elf.js'
import type { PatchedObjectFact } from './verdict.js'

const pointer = 8
/** klp_object: name, funcs, then the four callbacks. */
const objectPointers = [0, 1, 2, 3, 4, 5].map((n) => n * pointer)
/** klp_func: old_name, new_func. */
const funcPointers = [0, pointer]
const cellsMax = 20_000
const symbolTypeObject = 1

export interface KlpFound {
  readonly objects: readonly PatchedObjectFact[]
  readonly callbacks: boolean
  readonly states: boolean
  /** The byte `replace` as the file holds it. */
  readonly replace: boolean
}

interface Area { readonly section: Section; readonly start: number; readonly size: number; readonly relocations: ReadonlyMap<number, Relocation> }

export function findKlpPatch(elf: Elf): KlpFound | null {
  for (const section of elf.sections) {
    if (!section.name.startsWith('.data')) continue
    const relocations = new Map(elf.relocations(section).map((one) => [one.offset, one]))
    for (const [offset, one] of relocations) {
      // klp_patch begins with `mod`, always THIS_MODULE, then `objs`.
      if (one.symbol.name !== '__this_module' || one.addend !== 0) continue
      const found = readPatch(elf, section, relocations, offset)
      if (found) return found
    }
  }
  return null
}

function readPatch(elf: Elf, section: Section, relocations: ReadonlyMap<number, Relocation>, at: number): KlpFound | null {
  const objs = relocations.get(at + pointer)
  const area = objs ? areaOf(elf, objs) : null
  const cells = area ? cut(area, objectPointers, pointer) : null
  if (!area || !cells) return null
  const objects: PatchedObjectFact[] = []
  let callbacks = false
  for (const cell of cells) {
    const functions = functionsOf(elf, area.relocations.get(cell + pointer))
    if (!functions) return null
    objects.push({ name: elf.stringAt(area.relocations.get(cell)) ?? 'vmlinux', functions })
    callbacks ||= objectPointers.slice(2).some((offset) => area.relocations.has(cell + offset))
  }
  const bytes = elf.bytesOf(section)
  return { objects, callbacks, states: relocations.has(at + 2 * pointer), replace: bytes[at + 3 * pointer] === 1 }
}

function functionsOf(elf: Elf, funcs: Relocation | undefined): string[] | null {
  const area = funcs ? areaOf(elf, funcs) : null
  const cells = area ? cut(area, funcPointers, 0) : null
  if (!area || !cells) return null
  const names = cells.map((cell) => elf.stringAt(area.relocations.get(cell)))
  return names.every((name) => name !== null && /^[A-Za-z_.$][\w.$]*$/.test(name)) ? (names as string[]) : null
}

/** The array a relocation points to: from there to the end of the symbol that holds the place. */
function areaOf(elf: Elf, to: Relocation): Area | null {
  const place = elf.placeOf(to)
  if (!place) return null
  const holder = elf.symbols().find((one: Symbol) => one.type === symbolTypeObject && one.section === place.section.index && one.value === place.offset && one.size > 0)
  if (!holder || holder.value + holder.size > place.section.size) return null
  const inside = elf.relocations(place.section).filter((one) => one.offset >= holder.value && one.offset < holder.value + holder.size)
  return { section: place.section, start: holder.value, size: holder.size, relocations: new Map(inside.map((one) => [one.offset, one])) }
}

/**
 * Cuts an array with an empty last cell: offsets of the full cells. Null when no cell size fits, or more than one
 * would (which the pointers' places rule out for any real array).
 */
function cut(area: Area, pointers: readonly number[], required: number): number[] | null {
  const offsets = [...area.relocations.keys()].map((offset) => offset - area.start)
  const width = Math.max(...pointers) + pointer
  for (let cells = 2; cells <= cellsMax && area.size / cells >= width; cells++) {
    const stride = area.size / cells
    if (stride % pointer !== 0) continue
    const fits = offsets.every((offset) => pointers.includes(offset % stride) && offset < (cells - 1) * stride)
    const full = Array.from({ length: cells - 1 }, (_, index) => index * stride)
    if (fits && full.every((cell) => area.relocations.has(area.start + cell + required))) return full.map((cell) => area.start + cell)
  }
  return null
}
