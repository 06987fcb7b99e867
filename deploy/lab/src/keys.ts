import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { must } from './run.js'

/** Makes an ed25519 key without a passphrase unless the file is there, and returns its public half, `ssh-ed25519 AAAA…`. */
export async function makeKey(file: string, comment: string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  if (!existsSync(file)) await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file])
  await chmod(file, 0o600)
  const words = (await readFile(`${file}.pub`, 'utf8')).trim().split(' ')
  return `${words[0]} ${words[1]}`
}
