// Hand-written livepatches: struct klp_patch, klp_object and klp_func in .data (include/linux/livepatch.h), followed
// by their relocations. Sizes differ by kernel and configuration, so they are not known but found: an array's symbol
// tells its whole size, and only one way of cutting it into cells puts every pointer where the struct has one.
import type { Elf, Section } from './elf.js'
import { functionName, objectName } from './names.js'
import type { Relocation, Relocations } from './relocations.js'
import type { PatchedObjectFact } from './verdict.js'

const pointer = 8
/** klp_object: name, funcs, then the four callbacks. */
const objectPointers = [0, 1, 2, 3, 4, 5].map((n) => n * pointer)
/** klp_func: old_name, new_func. */
const funcPointers = [0, pointer]
/** klp_object is 144 bytes and klp_func 152 on 6.12; kernels built to debug kobjects and lists have a few hundred more. */
const cellBytesMax = 1_024
const symbolTypeObject = 1
/** klp_patch: mod, objs, states, replace. */
const patchFields = { objs: pointer, states: 2 * pointer, replace: 3 * pointer }

export interface KlpFound {
  readonly objects: readonly PatchedObjectFact[]
  readonly callbacks: boolean
  readonly states: boolean
  /** The byte `replace` as the file holds it; null when it is no boolean, or two structs differ. */
  readonly replace: boolean | null
}

interface Area { readonly start: number; readonly size: number; readonly places: readonly number[]; readonly relocations: Relocations }

/** Every klp_patch of the file, taken together; null when there is none, or one that cannot be followed. */
export function findKlpPatch(elf: Elf): KlpFound | null {
  const holders = objectSymbols(elf)
  const found: KlpFound[] = []
  for (const section of elf.sections) {
    if (!section.name.startsWith('.data') || elf.bytesOf(section).length === 0) continue
    const relocations = elf.relocations(section)
    for (const one of relocations.all()) {
      // klp_patch begins with `mod`, always THIS_MODULE, then `objs`.
      if (one.addend !== 0 || one.symbol.type !== symbolTypeObject || elf.nameOf(one.symbol) !== '__this_module') continue
      if (!relocations.has(one.offset + patchFields.objs)) continue
      const patch = readPatch(elf, section, relocations, one.offset, holders)
      if (!patch) return null
      found.push(patch)
    }
  }
  const [first] = found
  if (!first || found.length === 1) return first ?? null
  return {
    objects: found.flatMap((one) => one.objects), callbacks: found.some((one) => one.callbacks), states: found.some((one) => one.states),
    replace: found.every((one) => one.replace === first.replace) ? first.replace : null,
  }
}

type Holders = ReadonlyMap<string, number>

/** Sizes of the file's variables, by section and place. */
function objectSymbols(elf: Elf): Holders {
  const sizes = new Map<string, number>()
  for (const one of elf.symbols()) if (one.type === symbolTypeObject && one.size > 0) sizes.set(`${one.section} ${one.value}`, one.size)
  return sizes
}

function readPatch(elf: Elf, section: Section, relocations: Relocations, at: number, holders: Holders): KlpFound | null {
  const area = areaOf(elf, relocations.at(at + patchFields.objs), holders)
  const cells = area ? cut(area, objectPointers, pointer) : null
  if (!area || !cells) return null
  const objects: PatchedObjectFact[] = []
  let callbacks = false
  for (const cell of cells) {
    // No name is the kernel itself; a name that cannot be read is not.
    const name = area.relocations.has(cell) ? objectName(elf.stringAt(area.relocations.at(cell))) : 'vmlinux'
    const functions = functionsOf(elf, area.relocations.at(cell + pointer), holders)
    if (name === null || !functions) return null
    objects.push({ name, functions })
    callbacks ||= objectPointers.slice(2).some((offset) => area.relocations.has(cell + offset))
  }
  const byte = elf.bytesOf(section)[at + patchFields.replace]
  return { objects, callbacks, states: relocations.has(at + patchFields.states), replace: byte === 1 ? true : byte === 0 && !relocations.has(at + patchFields.replace) ? false : null }
}

function functionsOf(elf: Elf, funcs: Relocation | null, holders: Holders): string[] | null {
  const area = areaOf(elf, funcs, holders)
  const cells = area ? cut(area, funcPointers, 0) : null
  if (!area || !cells) return null
  const names = cells.map((cell) => functionName(elf.stringAt(area.relocations.at(cell))))
  return names.every((name) => name !== null) ? names : null
}

/** The array a relocation points to: from there to the end of the variable that begins at the place. */
function areaOf(elf: Elf, to: Relocation | null, holders: Holders): Area | null {
  const place = to ? elf.placeOf(to) : null
  const size = place ? holders.get(`${place.section.index} ${place.offset}`) : undefined
  if (!place || size === undefined || place.offset + size > elf.bytesOf(place.section).length) return null
  const relocations = elf.relocations(place.section)
  return { start: place.offset, size, places: relocations.placesIn(place.offset, place.offset + size), relocations }
}

/**
 * Cuts an array whose last cell is empty: places of the full cells. Every full cell has a pointer at `required`, and no
 * pointer lies elsewhere than `pointers`: so there are as many full cells as such pointers, and at most one cell size fits.
 */
function cut(area: Area, pointers: readonly number[], required: number): number[] | null {
  const allowed = new Set(pointers)
  const width = Math.max(...pointers) + pointer
  for (let bytes = width; bytes <= Math.min(cellBytesMax, area.size / 2); bytes += pointer) {
    if (area.size % bytes !== 0) continue
    const last = area.size - bytes
    const full = Array.from({ length: last / bytes }, (_, index) => area.start + index * bytes)
    const fits = area.places.every((place) => allowed.has((place - area.start) % bytes) && place - area.start < last)
    if (fits && full.every((cell) => area.relocations.has(cell + required))) return full
  }
  return null
}
