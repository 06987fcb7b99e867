// From text to a selector: one function per line of the grammar.
import { factNames, type Field, keywords, type Operator, type Selector, selectorLimits } from './grammar.js'
import { cutTokens, SelectorFault, type Token } from './tokens.js'

export type SelectorRead =
  | { readonly ok: true; readonly selector: Selector }
  /** `at` and `length` in characters of the text. `shown`: the place with a mark under it, for a terminal. */
  | { readonly ok: false; readonly fault: { readonly says: string; readonly at: number; readonly length: number; readonly shown: string } }

/** Reads a selector. Never throws: what is wrong with the text comes back as a fault that points at its place. */
export function readSelector(text: string): SelectorRead {
  try {
    const { characters } = selectorLimits
    if (text.length > characters) throw new SelectorFault(`A selector has at most ${characters} characters; this one has ${text.length}.`, characters, 1)
    return { ok: true, selector: new Reader(cutTokens(text)).read() }
  } catch (error) {
    if (!(error instanceof SelectorFault)) throw error
    const { says, at, length } = error
    return { ok: false, fault: { says, at, length, shown: pointAt(text, at, length) } }
  }
}

const around = 60

function pointAt(text: string, at: number, length: number): string {
  const from = Math.max(0, at - around)
  const line = text.slice(from, at + around).replace(/\s/g, ' ').replace(/[^\u0020-\u007e]/g, '?')
  return `${line}\n${' '.repeat(at - from)}${'^'.repeat(Math.max(1, Math.min(length, around)))}`
}

class Reader {
  private place = 0
  private depth = 0
  private values = 0
  constructor(private readonly tokens: readonly Token[]) {}

  read(): Selector {
    if (this.here().kind === 'end') this.fail('A selector cannot be empty; "all" names every host.')
    const selector = this.either()
    if (this.here().kind === ')') this.fail('This bracket was never opened.')
    if (this.here().kind !== 'end') this.fail(`Expected "and", "or" or the end, not ${shown(this.here())}.`)
    return selector
  }

  private here(): Token { return this.tokens[this.place] ?? { kind: 'end', value: '', at: 0, length: 1 } }

  private take(): Token { const token = this.here(); this.place += 1; return token }

  private fail(says: string, token = this.here()): never { throw new SelectorFault(says, token.at, token.length) }

  private is(word: string): boolean { return this.here().kind === 'word' && this.here().value.toLowerCase() === word }

  private either(): Selector { return this.chain('or', () => this.chain('and', () => this.term())) }

  private chain(kind: 'and' | 'or', part: () => Selector): Selector {
    const of = [part()]
    while (this.is(kind)) { this.take(); of.push(part()) }
    const [only] = of
    return of.length === 1 && only ? only : { kind, of }
  }

  private term(): Selector {
    this.depth += 1
    if (this.depth > selectorLimits.depth) this.fail(`Brackets and "not" can be nested ${selectorLimits.depth} deep.`)
    const selector = this.termInside()
    this.depth -= 1
    return selector
  }

  private termInside(): Selector {
    if (this.is('not')) { this.take(); return { kind: 'not', of: this.term() } }
    if (this.is('all')) { this.take(); return { kind: 'all' } }
    if (this.is('has')) { this.take(); return { kind: 'has', field: this.field() } }
    if (this.here().kind !== '(') return this.comparison()
    const open = this.take()
    const selector = this.either()
    if (this.here().kind === 'end') this.fail('This bracket is never closed.', open)
    if (this.here().kind !== ')') this.fail(`Expected "and", "or" or ")", not ${shown(this.here())}.`)
    this.take()
    return selector
  }

  private comparison(): Selector {
    const field = this.field()
    if (this.here().kind === 'operator') return { kind: 'compare', field, operator: this.take().value as Operator, value: this.value() }
    const negated = this.is('not')
    if (negated) this.take()
    if (!this.is('in')) this.fail(`After a field comes one of = != ~ !~ < <= > >= "in" "not in", not ${shown(this.here())}.`)
    this.take()
    const listed: Selector = { kind: 'in', field, values: this.list() }
    return negated ? { kind: 'not', of: listed } : listed
  }

  private list(): string[] {
    if (this.here().kind !== '(') this.fail('After "in" comes a list in brackets: in (a, b).')
    this.take()
    const values = [this.value()]
    while (this.here().kind === ',') { this.take(); values.push(this.value()) }
    if (this.here().kind !== ')') this.fail(`Expected "," or ")" in the list, not ${shown(this.here())}.`)
    this.take()
    return values
  }

  private value(): string {
    const token = this.here()
    if (token.kind !== 'text' && token.kind !== 'word') this.fail(`Expected a value, not ${shown(token)}.`)
    if (token.kind === 'word' && keywords.has(token.value.toLowerCase())) this.fail(`"${token.value}" is a word of the language; as a value it needs quotes.`)
    this.values += 1
    if (this.values > selectorLimits.values) this.fail(`A selector holds at most ${selectorLimits.values} values.`)
    return this.take().value
  }

  private unknownField(token: Token): never {
    const perhaps = keywords.has(token.value.toLowerCase()) ? '' : ` (did you mean label.${token.value.slice(0, 60)}?)`
    this.fail(`There is no field ${shown(token)}; there are ${factNames.join(', ')} and label.KEY${perhaps}.`, token)
  }

  private field(): Field {
    const token = this.here()
    if (token.kind !== 'word') this.fail(`Expected a field (${factNames.join(', ')} or label.KEY), not ${shown(token)}.`)
    const fact = factNames.find((name) => name === token.value)
    if (fact) { this.take(); return { kind: 'fact', name: fact } }
    if (!token.value.startsWith('label.')) this.unknownField(token)
    this.take()
    const bare = token.value.slice('label.'.length)
    if (bare !== '') return { kind: 'label', key: bare }
    const quoted = this.here()
    if (quoted.kind !== 'text' || quoted.value === '' || quoted.at !== token.at + token.length) this.fail('After "label." comes the label\'s key.')
    this.take()
    return { kind: 'label', key: quoted.value }
  }
}

const shown = (token: Token): string => (token.kind === 'end' ? 'the end' : JSON.stringify(token.value.slice(0, 60)))
