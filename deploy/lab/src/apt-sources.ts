// Which Debian mirror this machine uses, read from its own apt sources; no mirror's name stands in this project.

export interface AptSource { readonly types: readonly string[], readonly uris: readonly string[], readonly suites: readonly string[], readonly components: readonly string[] }

/** Debian's suites by name and by role. Derivatives name theirs otherwise, so these tell a Debian mirror from others. */
const DEBIAN_SUITES = new Set([
  'buster', 'bullseye', 'bookworm', 'trixie', 'forky', 'duke', 'sid',
  'oldoldstable', 'oldstable', 'stable', 'testing', 'unstable',
])

/** Reads the one-line style of sources.list(5). Lines it does not understand are left out. */
export function parseSourcesList(text: string): AptSource[] {
  const sources: AptSource[] = []
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*$/, '').trim()
    const match = /^(deb|deb-src)\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)(?:\s+(.*))?$/.exec(line)
    if (!match) continue
    sources.push({ types: [match[1] as string], uris: [match[2] as string], suites: [match[3] as string], components: (match[4] ?? '').split(/\s+/).filter(Boolean) })
  }
  return sources
}

/** Reads the deb822 style (`*.sources`). Stanzas with `Enabled: no` are left out. */
export function parseDeb822(text: string): AptSource[] {
  const sources: AptSource[] = []
  for (const stanza of text.replace(/\r/g, '').split(/\n[ \t]*\n/)) {
    const fields = new Map<string, string>()
    let name = ''
    for (const line of stanza.split('\n')) {
      if (line.startsWith('#')) continue
      const match = /^([A-Za-z0-9-]+):(.*)$/.exec(line)
      if (match) {
        name = (match[1] as string).toLowerCase()
        fields.set(name, (match[2] as string).trim())
      } else if (name && /^[ \t]/.test(line)) {
        fields.set(name, `${fields.get(name)} ${line.trim()}`.trim())
      }
    }
    const words = (field: string): string[] => (fields.get(field) ?? '').split(/\s+/).filter(Boolean)
    if (/^(no|false|off|0|without|disable)$/i.test(fields.get('enabled') ?? 'yes')) continue
    if (words('uris').length > 0) sources.push({ types: words('types'), uris: words('uris'), suites: words('suites'), components: words('components') })
  }
  return sources
}

/** The first mirror that serves Debian's main component over the network, without a slash at its end; undefined when there is none. */
export function debianMirror(sources: readonly AptSource[]): string | undefined {
  for (const source of sources) {
    if (!source.types.includes('deb') || !source.components.includes('main')) continue
    if (!source.suites.some((suite) => DEBIAN_SUITES.has(suite))) continue
    const uri = source.uris.find((each) => /^https?:\/\//.test(each))
    if (uri) return uri.replace(/\/+$/, '')
  }
  return undefined
}

/** The mirror that python-apt's template for Debian names: what a derivative's machine has instead of Debian sources. */
export function templateMirror(text: string): string | undefined {
  return /^BaseURI:\s*(https?:\/\/\S+?)\/*\s*$/m.exec(text)?.[1]
}

export interface DebFile { readonly name: string, readonly version: string }

/** Reads `apt-get --print-uris`: one line a package, `'uri' name_version_arch.deb size hash`; a file name's `%3a` is a colon. */
export function parsePrintUris(text: string): DebFile[] {
  const files: DebFile[] = []
  for (const line of text.split('\n')) {
    const match = /^'[^']+' ([a-z0-9][a-z0-9.+-]*)_([^_\s]+)_(?:amd64|all)\.deb \d+/.exec(line)
    if (match) files.push({ name: match[1] as string, version: decodeURIComponent(match[2] as string) })
  }
  return files
}
