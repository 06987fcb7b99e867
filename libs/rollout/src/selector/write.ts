// From a selector back to text: one form for the same meaning, for records and previews.
import { bareCharacter, type Field, keywords, type Selector } from './grammar.js'

const isBare = (text: string): boolean => text !== '' && [...text].every((c) => bareCharacter.test(c))
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
const valueText = (value: string): string => (isBare(value) && !keywords.has(value.toLowerCase()) ? value : quoted(value))
const fieldText = (field: Field): string => (field.kind === 'fact' ? field.name : `label.${isBare(field.key) ? field.key : quoted(field.key)}`)

/** The text of a selector; reading it gives the same selector again. */
export function writeSelector(selector: Selector): string {
  switch (selector.kind) {
    case 'all': return 'all'
    case 'has': return `has ${fieldText(selector.field)}`
    case 'compare': return `${fieldText(selector.field)} ${selector.operator} ${valueText(selector.value)}`
    case 'in': return `${fieldText(selector.field)} in (${selector.values.map(valueText).join(', ')})`
    case 'not': return `not ${inner(selector.of)}`
    case 'and': case 'or': return selector.of.map(inner).join(` ${selector.kind} `)
  }
}

const inner = (selector: Selector): string => (selector.kind === 'and' || selector.kind === 'or' ? `(${writeSelector(selector)})` : writeSelector(selector))
