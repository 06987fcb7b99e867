// How times, sizes and durations are said.

export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '-'
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
  return `${Math.floor(ms / 3_600_000)} h ${Math.round((ms % 3_600_000) / 60_000)} min`
}

/** Reads `90`, `500ms`, `30s`, `10m`, `2h` as milliseconds; a bare number is seconds. Null when it is none of them. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim())
  if (!match) return null
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] ?? 's'] ?? 1000
  return Math.round(Number(match[1]) * factor)
}

export const counts = (all: Readonly<Record<string, number>>): string =>
  Object.entries(all).filter(([, n]) => n > 0).map(([state, n]) => `${n} ${state}`).join(', ') || 'none'
