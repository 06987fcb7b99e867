// Where the server is and who we are: flags, then the environment, then the file that `uptide login` wrote.
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { Ending } from './exit.js'

export interface Settings { readonly url: string; readonly token: string | null }

const defaultUrl = 'http://127.0.0.1:4280'
const file = (): string => path.join(process.env['XDG_CONFIG_HOME'] ?? path.join(homedir(), '.config'), 'uptide', 'cli.json')

async function remembered(): Promise<{ url?: string; token?: string }> {
  try {
    const read: unknown = JSON.parse(await readFile(file(), 'utf8'))
    return typeof read === 'object' && read !== null ? read : {}
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new Ending('usage', `${file()} cannot be read: ${(error as Error).message}`, 'Mend or remove it, or run: uptide login')
  }
}

export async function settings(flags: { url?: string }): Promise<Settings> {
  const saved = await remembered()
  const url = flags.url ?? process.env['UPTIDE_URL'] ?? saved.url ?? defaultUrl
  if (!/^https?:\/\//.test(url)) throw new Ending('usage', `${url} is no http(s) address.`)
  const token = process.env['UPTIDE_TOKEN'] ?? (saved.url === undefined || saved.url === url ? saved.token : undefined) ?? null
  return { url: url.replace(/\/+$/, ''), token }
}

export async function remember(url: string, token: string): Promise<string> {
  await mkdir(path.dirname(file()), { recursive: true, mode: 0o700 })
  await writeFile(file(), `${JSON.stringify({ url, token }, null, 2)}\n`, { mode: 0o600 })
  await chmod(file(), 0o600)
  return file()
}
