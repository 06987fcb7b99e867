// The language that names hosts: the same in the API, the CLI, policies and the dashboard. What exists in it, as data.
//
//   selector   = either
//   either     = both { "or" both }
//   both       = term { "and" term }
//   term       = "not" term | "(" either ")" | "all" | "has" field | field operator value | field [ "not" ] "in" "(" value { "," value } ")"
//   field      = "name" | "kernel" | "arch" | "mechanism" | "state" | "label." key
//   operator   = "=" | "!=" | "~" | "!~" | "<" | "<=" | ">" | ">="
//   value, key = a bare word of letters, digits and . _ - + / : @ * ?, or a text in double quotes with \" and \\

/** What is known of a host without asking it. */
export interface SelectableHost {
  readonly name: string
  readonly kernel: string | null
  readonly arch: string | null
  readonly mechanism: string | null
  readonly state: string
  readonly labels: Readonly<Record<string, string>>
}

export type FactName = 'name' | 'kernel' | 'arch' | 'mechanism' | 'state'
export const factNames: readonly FactName[] = ['name', 'kernel', 'arch', 'mechanism', 'state']

export type Field = { readonly kind: 'fact'; readonly name: FactName } | { readonly kind: 'label'; readonly key: string }

/** `~` is a glob (`*`, `?`); `<` and its kin compare version by version, so that 6.9 comes before 6.12. */
export type Operator = '=' | '!=' | '~' | '!~' | '<' | '<=' | '>' | '>='
/** Longest first: `<=` is read before `<`. */
export const operators: readonly Operator[] = ['!=', '!~', '<=', '>=', '=', '~', '<', '>']

export type Selector =
  | { readonly kind: 'all' }
  | { readonly kind: 'has'; readonly field: Field }
  | { readonly kind: 'compare'; readonly field: Field; readonly operator: Operator; readonly value: string }
  | { readonly kind: 'in'; readonly field: Field; readonly values: readonly string[] }
  | { readonly kind: 'not'; readonly of: Selector }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Selector[] }

/** Words that mean something; as a value they need quotes. */
export const keywords: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in', 'has', 'all'])

/** Characters of a word without quotes. */
export const bareCharacter = /[A-Za-z0-9._\-+/:@*?]/

/** Beyond any selector that a person writes or a policy needs; a hostile one ends here. */
export const selectorLimits = { characters: 20_000, depth: 50, values: 2_000 } as const
