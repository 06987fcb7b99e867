import type { Command } from 'commander'
import { action } from '../command.js'
import { table } from '../output/table.js'

export function tokenCommands(uptide: Command): void {
  const token = uptide.command('token').description('Named API tokens; every act is recorded under its token\'s name')
  token.command('create <name>').description('A further token; its secret is shown once, now')
    .action(action<[string]>(async ({ client, result }, name) => {
      const made = await client.call('token.create', { body: { name } })
      result(made, `${made.secret}\nThis is token ${made.name}. It is shown only now; keep it like a password.`)
    }))
  token.command('list').description('Tokens, without their secrets')
    .action(action(async ({ client, result }) => {
      const { items } = await client.call('token.list')
      result(items, table(['name', 'created', 'last used', 'revoked'], items.map((one) => [one.name, one.createdAt, one.lastUsedAt, one.revokedAt])))
    }))
  token.command('revoke <name>').description('Refuse this token from now on')
    .action(action<[string]>(async ({ client, result }, name) => {
      const gone = await client.call('token.revoke', { params: { name } })
      result(gone, `Token ${gone.name} is revoked.`)
    }))
}
