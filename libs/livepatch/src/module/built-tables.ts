// Tables that kpatch-build and klp-build leave in the file.
import type { Elf, Section } from './elf.js'
import { functionName, objectName } from './names.js'
import { type PatchedObjectFact, Refuse } from './verdict.js'

function group(pairs: readonly (readonly [string, string])[]): PatchedObjectFact[] {
  const objects = new Map<string, string[]>()
  for (const [object, name] of pairs) {
    const functions = objects.get(object)
    if (functions) functions.push(name); else objects.set(object, [name])
  }
  return [...objects].map(([name, functions]) => ({ name, functions }))
}

const damaged = (section: Section): Refuse => new Refuse('CORRUPT', `its table ${section.name} cannot be followed`, section.offset)

/** struct kpatch_patch_func (kmod/patch/kpatch-patch.h): 56 bytes, openEuler's 72. Name at 40, object's name at 48. */
const kpatchStrides = [56, 72]
const kpatchName = 40; const kpatchObject = 48

/** @throws when there is such a table and it makes no sense: kpatch-build never leaves one. */
export function kpatchFuncs(elf: Elf): PatchedObjectFact[] | null {
  const section = elf.section('.kpatch.funcs')
  const size = section ? elf.bytesOf(section).length : 0
  if (!section || size === 0) return null
  const relocations = elf.relocations(section)
  const named = (cell: number): boolean => relocations.has(cell + kpatchName) && relocations.has(cell + kpatchObject)
  const stride = kpatchStrides.find((one) => size % one === 0 && everyCell(size, one, named))
  if (stride === undefined) throw damaged(section)
  return group(Array.from({ length: size / stride }, (_, index) => {
    const object = objectName(elf.stringAt(relocations.at(index * stride + kpatchObject)))
    const name = functionName(elf.stringAt(relocations.at(index * stride + kpatchName)))
    if (object === null || name === null) throw damaged(section)
    return [object, name] as const
  }))
}

function everyCell(size: number, stride: number, fits: (cell: number) => boolean): boolean {
  for (let cell = 0; cell < size; cell += stride) if (!fits(cell)) return false
  return true
}

/** struct klp_object_ext (include/linux/livepatch_external.h, Linux 6.19): name, funcs, four callbacks and a bool, nr_funcs. */
const objectExt = { bytes: 64, name: 0, funcs: 8, callbacks: [16, 24, 32, 40], count: 56 }
/** struct klp_func_ext: old_name, new_func, sympos. */
const funcExt = { bytes: 24, name: 0, code: 8 }
/** Where klp-build leaves them; its drafts used the second names. */
const klpBuildSections = [['.init.klp_objects', '.init.klp_funcs'], ['__klp_objects', '__klp_funcs']] as const

export interface BuiltTables { readonly objects: PatchedObjectFact[]; readonly callbacks: boolean }

/** Null when there are no such tables, or laid out as by a later klp-build: then nothing is claimed. */
export function klpBuild(elf: Elf): BuiltTables | null {
  for (const [objectsName, funcsName] of klpBuildSections) {
    const objects = elf.section(objectsName); const funcs = elf.section(funcsName)
    if (objects && funcs) return readExt(elf, objects, funcs)
  }
  return null
}

function readExt(elf: Elf, objects: Section, funcs: Section): BuiltTables | null {
  const size = elf.bytesOf(objects).length; const funcsSize = elf.bytesOf(funcs).length
  if (size === 0 || size % objectExt.bytes !== 0 || funcsSize % funcExt.bytes !== 0) return null
  const of = elf.relocations(objects); const ff = elf.relocations(funcs)
  const found: PatchedObjectFact[] = []
  let callbacks = false; let read = 0
  for (let cell = 0; cell < size; cell += objectExt.bytes) {
    const first = of.at(cell + objectExt.funcs)
    const place = first ? elf.placeOf(first) : null
    const count = elf.u32(objects.offset + cell + objectExt.count)
    // Every entry belongs to one object: tables that overlap are none.
    read += count
    if (!place || place.section.index !== funcs.index || place.offset + count * funcExt.bytes > funcsSize || read * funcExt.bytes > funcsSize) return null
    const functions = Array.from({ length: count }, (_, index) => functionName(elf.stringAt(ff.at(place.offset + index * funcExt.bytes + funcExt.name))))
    const name = of.has(cell + objectExt.name) ? objectName(elf.stringAt(of.at(cell + objectExt.name))) : 'vmlinux'
    if (name === null || !functions.every((one) => one !== null)) return null
    found.push({ name, functions })
    callbacks ||= objectExt.callbacks.some((offset) => of.has(cell + offset))
  }
  return { objects: found, callbacks }
}
