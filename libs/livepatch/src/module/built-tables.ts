// Tables that kpatch-build and klp-build leave in the file.
import type { Elf, Relocation, Section } from './elf.js'
import type { PatchedObjectFact } from './verdict.js'

const group = (pairs: readonly (readonly [string, string])[]): PatchedObjectFact[] => {
  const objects = new Map<string, string[]>()
  for (const [object, name] of pairs) objects.set(object, [...(objects.get(object) ?? []), name])
  return [...objects].map(([name, functions]) => ({ name, functions }))
}

const byOffset = (elf: Elf, section: Section): ReadonlyMap<number, Relocation> => new Map(elf.relocations(section).map((one) => [one.offset, one]))

/** struct kpatch_patch_func (kmod/patch/kpatch-patch.h): 56 bytes; openEuler's has 72. Name at 40, object's name at 48. */
const kpatchStrides = [56, 72]

export function kpatchFuncs(elf: Elf): PatchedObjectFact[] | null {
  const section = elf.section('.kpatch.funcs')
  if (!section || section.size === 0) return null
  const relocations = byOffset(elf, section)
  for (const stride of kpatchStrides) {
    if (section.size % stride !== 0) continue
    const cells = Array.from({ length: section.size / stride }, (_, index) => index * stride)
    const pairs = cells.map((cell) => [elf.stringAt(relocations.get(cell + 48)), elf.stringAt(relocations.get(cell + 40))] as const)
    if (pairs.every(([object, name]) => object !== null && name !== null)) return group(pairs as [string, string][])
  }
  return null
}

/**
 * klp-build (Linux 6.19, include/linux/livepatch_external.h): klp_object_ext { name, funcs, four callbacks, nr_funcs },
 * klp_func_ext { old_name, new_func, sympos }. The layout is from memory of that header; what does not fit it is not read.
 */
export function klpBuild(elf: Elf): { objects: PatchedObjectFact[]; callbacks: boolean } | null {
  const objects = elf.section('.init.klp_objects') ?? elf.section('__klp_objects')
  const funcs = elf.section('.init.klp_funcs') ?? elf.section('__klp_funcs')
  const objectBytes = 56; const funcBytes = 24
  if (!objects || !funcs || objects.size % objectBytes !== 0 || funcs.size % funcBytes !== 0) return null
  const of = byOffset(elf, objects); const ff = byOffset(elf, funcs)
  const found: PatchedObjectFact[] = []
  let callbacks = false
  for (let cell = 0; cell < objects.size; cell += objectBytes) {
    const first = of.get(cell + 8)
    const place = first ? elf.placeOf(first) : null
    const count = elf.u32(objects.offset + cell + 48)
    if (!place || place.section.index !== funcs.index || place.offset + count * funcBytes > funcs.size) return null
    const functions = Array.from({ length: count }, (_, index) => elf.stringAt(ff.get(place.offset + index * funcBytes)))
    if (functions.some((name) => name === null)) return null
    found.push({ name: elf.stringAt(of.get(cell)) ?? 'vmlinux', functions: functions as string[] })
    callbacks ||= [16, 24, 32, 40].some((offset) => of.has(cell + offset))
  }
  return { objects: found, callbacks }
}
