import type { Command } from 'commander'
import { action } from '../command.js'
import { Client } from '../client.js'
import { Ending } from '../exit.js'
import { remember } from '../settings.js'
import { secretFromInput } from './input.js'

export function loginCommand(uptide: Command): void {
  uptide.command('login')
    .description('Check a token and remember it with the server (file mode 0600). The token is read from standard input or UPTIDE_TOKEN.')
    .action(action(async ({ settings, result }) => {
      const token = process.env['UPTIDE_TOKEN'] ?? (await secretFromInput('Token: '))
      if (!token) throw new Ending('usage', 'No token was given.', 'The server printed one when it was first started; further ones: uptide token create NAME')
      await new Client({ url: settings.url, token }).call('token.list')
      const file = await remember(settings.url, token)
      result({ url: settings.url, file }, `The token works. Remembered in ${file}.`)
    }))
}
