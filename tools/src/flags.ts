import { parseArgs, type ParseArgsConfig } from 'node:util'

/**
 * The flags of this process's command line. A wrong one ends it with what was wrong, the help, and exit code 64
 * (EX_USAGE of sysexits.h), as a wrong value does.
 */
export function readFlags<const T extends ParseArgsConfig>(help: string, config: T): ReturnType<typeof parseArgs<T>> {
  try { return parseArgs(config) } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${help}\n`)
    process.exit(64)
  }
}
