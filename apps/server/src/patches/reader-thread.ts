import { parentPort, workerData } from 'node:worker_threads'
import { readModuleFile } from '@uptide/livepatch'

parentPort?.postMessage(readModuleFile(workerData as Uint8Array))
