// The API: what operators speak to. Nest lives here; the other roles need no more than their own objects.
import { NestFactory } from '@nestjs/core'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { firstToken } from '../access/first-token.js'
import { apiModule } from '../http/api.module.js'
import { fastifyAdapter } from '../http/fastify.js'
import { checkMounting } from '../http/mounting.js'
import type { Parts, Running } from './parts.js'

export async function startApi(parts: Parts): Promise<Running> {
  const app = await NestFactory.create<NestFastifyApplication>(apiModule(parts), fastifyAdapter(), { logger: ['error', 'warn'], abortOnError: false })
  await app.init()
  checkMounting(app)
  const secret = await firstToken(parts.store)
  try { await app.listen(parts.env.PORT, parts.env.BIND) } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new Error(`Port ${parts.env.PORT} on ${parts.env.BIND} is taken by another program. Choose another: PORT=…`)
  }
  // The only time it is ever shown; it goes to standard output, never to the log.
  if (secret !== null) process.stdout.write(`Admin token (shown once): ${secret}\n`)
  return { stop: () => app.close() }
}
