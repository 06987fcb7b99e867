// The scenarios that come with Uptide: one text each, beside its expected output.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The same depth from src/ and from dist/. */
export const scenariosFolder = fileURLToPath(new URL('../../scenarios/', import.meta.url))
const ending = '.scenario'

/** Names of the scenarios, in order. */
export const scenarioNames = (): string[] => readdirSync(scenariosFolder).filter((file) => file.endsWith(ending)).map((file) => file.slice(0, -ending.length)).sort()

/** @returns the text, or null when there is no such scenario. */
export const scenarioText = (name: string): string | null => (scenarioNames().includes(name) ? readFileSync(`${scenariosFolder}${name}${ending}`, 'utf8') : null)
