// What a livepatch refers to in other objects: sections `.klp.rela.OBJECT.SECTION`, symbols `.klp.sym.OBJECT.NAME,POSITION`
// (Documentation/livepatch/module-elf-format.rst). The kernel resolves them when the object is loaded.
import type { Elf } from './elf.js'
import { functionName, objectName } from './names.js'

const sectionPrefix = '.klp.rela.'
const symbolPrefix = '.klp.sym.'
/** SHN_LIVEPATCH. */
const livepatchSection = 0xff20

/** A name that no object or symbol can have is passed over: the kernel refuses the module for it. */
export function referencesOf(elf: Elf): { readonly object: string; readonly symbols: readonly string[] }[] {
  const found = new Map<string, Set<string>>()
  const symbolsOf = (object: string): Set<string> => {
    const known = found.get(object)
    if (known) return known
    const made = new Set<string>()
    found.set(object, made)
    return made
  }
  for (const { name } of elf.sections) {
    const object = name.startsWith(sectionPrefix) ? objectName(name.slice(sectionPrefix.length).split('.')[0] ?? '') : null
    if (object !== null) symbolsOf(object)
  }
  for (const symbol of elf.symbols()) {
    if (symbol.section !== livepatchSection) continue
    const match = /^([^.]+)\.([^,]+),\d+$/.exec(elf.nameOf(symbol).slice(symbolPrefix.length))
    const object = objectName(match?.[1] ?? null); const name = functionName(match?.[2] ?? null)
    if (object !== null && name !== null) symbolsOf(object).add(name)
  }
  return [...found].map(([object, symbols]) => ({ object, symbols: [...symbols] }))
}
