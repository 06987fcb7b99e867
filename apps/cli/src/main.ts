#!/usr/bin/env node
// `uptide`: everything the API can do, from a terminal or a script.
import { Command, CommanderError } from 'commander'
import { eventCommands } from './commands/events.js'
import { hostCommands } from './commands/host.js'
import { loginCommand } from './commands/login.js'
import { haltCommands } from './commands/halt.js'
import { pacingCommands } from './commands/pacing.js'
import { patchCommands } from './commands/patch.js'
import { rolloutCommands } from './commands/rollout.js'
import { scheduleCommands } from './commands/schedule.js'
import { simCommands } from './commands/sim.js'
import { tokenCommands } from './commands/token.js'
import { jsonOption } from './command.js'
import { exitCodes } from './exit.js'

export function program(): Command {
  const uptide = new Command('uptide')
    .description('Live-patch the running kernels of a fleet, in waves, without a reboot.')
    .version('0.1.0')
    .option('--url <url>', 'the server (or UPTIDE_URL); default http://127.0.0.1:4280')
    .addOption(jsonOption())
    .showHelpAfterError('(uptide help COMMAND tells more)')
    .exitOverride()
    .addHelpText('after', `
Start here:
  uptide login                         remember the server and its token
  uptide host add web-1 --address 10.0.0.5
  uptide patch add fix-1 --title "…" module.ko …
  uptide rollout plan --patch fix-1 --all
  uptide rollout create --patch fix-1 --all --watch

Exit codes:
${Object.values(exitCodes).map((one) => `  ${String(one.code).padStart(2)}  ${one.says}`).join('\n')}`)
  for (const add of [loginCommand, hostCommands, patchCommands, haltCommands, pacingCommands, rolloutCommands, eventCommands, tokenCommands, scheduleCommands, simCommands]) add(uptide)
  const inherit = (command: Command): void => { for (const child of command.commands) { child.exitOverride(); inherit(child) } }
  inherit(uptide)
  return uptide
}

try {
  await program().parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage.code
}
