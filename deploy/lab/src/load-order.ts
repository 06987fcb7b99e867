/**
 * The files to load, in order, for the modules wanted, from the text of depmod's modules.dep: each behind all it
 * depends on. Modules the kernel does not have as files (built in, or not at all) are left out.
 */
export function loadOrder(modulesDep: string, wanted: readonly string[]): string[] {
  const needs = new Map<string, readonly string[]>()
  const fileOf = new Map<string, string>()
  for (const line of modulesDep.split('\n')) {
    const colon = line.indexOf(':')
    if (colon < 0) continue
    const file = line.slice(0, colon)
    needs.set(file, line.slice(colon + 1).split(' ').filter(Boolean))
    fileOf.set(moduleName(file), file)
  }
  const order = new Set<string>()
  for (const name of wanted) {
    const file = fileOf.get(name)
    if (file === undefined) continue
    // modules.dep lists all that is needed, directly or not, the deepest last.
    for (const each of [...needs.get(file) ?? []].reverse()) order.add(each)
    order.add(file)
  }
  return [...order]
}

/** A module's name from its file: the kernel writes - as _. */
const moduleName = (file: string): string => (file.split('/').at(-1) as string).replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_')
