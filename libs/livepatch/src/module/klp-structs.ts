// Hand-written livepatches: struct klp_patch, klp_object and klp_func in .data (include/linux/livepatch.h), followed
// by their relocations. Sizes differ by kernel and configuration, so they are not known but found: an array's symbol
// tells its whole size, and only one way of cutting it into cells puts every pointer where the struct has one.
import type { Elf, Section } from './elf.js'
import { functionName, objectName } from './names.js'
import type { Relocation, Relocations } from './relocations.js'
import { type PatchedObjectFact, Refuse } from './verdict.js'

const pointer = 8
/** klp_object: name, funcs, then the four callbacks. */
const objectPointers = [0, 1, 2, 3, 4, 5].map((n) => n * pointer)
/** klp_func: old_name, new_func. */
const funcPointers = [0, pointer]
/** klp_object is 144 bytes and klp_func 152 on 6.12; kernels built to debug kobjects and lists have a few hundred more. */
const cellBytesMax = 1_024
const symbolTypeObject = 1
/** Pointers that are looked at in all. Real arrays do not overlap, so it is no more than the file's relocations. */
const placesMax = 300_000
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
  const walk = new Walk(elf)
  const found: KlpFound[] = []
  for (const section of elf.sections) {
    if (!isData(section) || elf.bytesOf(section).length === 0) continue
    const relocations = elf.relocations(section)
    for (const one of relocations.all()) {
      // klp_patch begins with `mod`, always THIS_MODULE, then `objs`, which the kernel writes into: other structs that
      // begin with their owner go on with a function or with constants.
      if (one.addend !== 0 || one.symbol.type !== symbolTypeObject || elf.nameOf(one.symbol) !== '__this_module') continue
      const objs = relocations.at(one.offset + patchFields.objs)
      const place = objs ? elf.placeOf(objs) : null
      if (!objs || !place || !isData(place.section)) continue
      const patch = readPatch(walk, section, relocations, one.offset)
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

const isData = (section: Section): boolean => section.name.startsWith('.data')

class Walk {
  /** Sizes of the file's variables, by section and place. */
  private readonly sizes = new Map<string, number>()
  private left = placesMax

  constructor(readonly elf: Elf) {
    for (const one of elf.symbols()) if (one.type === symbolTypeObject && one.size > 0) this.sizes.set(`${one.section} ${one.value}`, one.size)
  }

  /** The array a relocation points to: from there to the end of the variable that begins at the place. */
  areaOf(to: Relocation | null): Area | null {
    const place = to ? this.elf.placeOf(to) : null
    const size = place ? this.sizes.get(`${place.section.index} ${place.offset}`) : undefined
    if (!place || size === undefined || place.offset + size > this.elf.bytesOf(place.section).length) return null
    const relocations = this.elf.relocations(place.section)
    const places = relocations.placesIn(place.offset, place.offset + size)
    this.left -= places.length + 1
    if (this.left < 0) throw new Refuse('CORRUPT', 'its tables of functions overlap', place.section.offset)
    return { start: place.offset, size, places, relocations }
  }
}

function readPatch(walk: Walk, section: Section, relocations: Relocations, at: number): KlpFound | null {
  const area = walk.areaOf(relocations.at(at + patchFields.objs))
  const cells = area ? cut(area, objectPointers, pointer) : null
  if (!area || !cells) return null
  const objects: PatchedObjectFact[] = []
  let callbacks = false
  for (const cell of cells) {
    // No name is the kernel itself; a name that cannot be read is not.
    const name = area.relocations.has(cell) ? objectName(walk.elf.stringAt(area.relocations.at(cell))) : 'vmlinux'
    const functions = functionsOf(walk, area.relocations.at(cell + pointer))
    if (name === null || !functions) return null
    objects.push({ name, functions })
    callbacks ||= objectPointers.slice(2).some((offset) => area.relocations.has(cell + offset))
  }
  const byte = relocations.has(at + patchFields.replace) ? undefined : walk.elf.bytesOf(section)[at + patchFields.replace]
  return { objects, callbacks, states: relocations.has(at + patchFields.states), replace: byte === 1 ? true : byte === 0 ? false : null }
}

function functionsOf(walk: Walk, funcs: Relocation | null): string[] | null {
  const area = walk.areaOf(funcs)
  const cells = area ? cut(area, funcPointers, 0) : null
  if (!area || !cells) return null
  const names = cells.map((cell) => functionName(walk.elf.stringAt(area.relocations.at(cell))))
  return names.every((name) => name !== null) ? names : null
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
    const cells = last / bytes
    if (cells > area.places.length || !area.places.every((place) => allowed.has((place - area.start) % bytes) && place - area.start < last)) continue
    const full = Array.from({ length: cells }, (_, index) => area.start + index * bytes)
    if (full.every((cell) => area.relocations.has(cell + required))) return full
  }
  return null
}
