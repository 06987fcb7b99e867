// Pages of long lists: ordered by a key, and the next page begins behind it.
export interface Page { readonly after?: string; readonly limit: number }
export interface Paged<T> { readonly items: T[]; readonly next: string | null }

export const paged = <T>(rows: T[], limit: number, key: (row: T) => string): Paged<T> => {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last !== undefined ? key(last) : null }
}
