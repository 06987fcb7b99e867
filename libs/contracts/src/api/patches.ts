import { z } from 'zod'
import { at, id, name, prose, reason, sha256 } from './words.js'

export const severity = z.enum(['low', 'moderate', 'important', 'critical'])
export const cve = z.string().regex(/^CVE-\d{4}-\d{4,7}$/)

export const patchedObject = z.object({ name: z.string(), functions: z.array(z.string()) })
export const build = z.object({
  id, patchId: id, kernelRelease: z.string(), kernelBuildId: z.string().nullable(), arch: z.string(), moduleName: z.string(),
  sha256, sizeBytes: z.number().int(), srcversion: z.string().nullable(), moduleBuildId: z.string().nullable(), vermagic: z.string(),
  objects: z.array(patchedObject), objectsSource: z.string(),
  replace: z.enum(['yes', 'no', 'unknown']), replaceSource: z.enum(['file', 'declared', 'unknown']),
  rollbackRisk: z.object({ level: z.string(), reasons: z.array(z.string()) }),
  signature: z.object({ present: z.boolean(), says: z.string() }),
  createdAt: at,
})
export type Build = z.infer<typeof build>

export const patch = z.object({
  id, name, title: z.string(), description: z.string(), cves: z.array(cve), severity, builds: z.array(build), createdAt: at, createdBy: z.string(),
})
export type Patch = z.infer<typeof patch>

export const patchAdd = z.object({
  name, title: prose(200).min(1), description: prose(5000).default(''), cves: z.array(cve).max(200).default([]), severity: severity.default('important'),
})

/** The `.ko` is the request's body (application/octet-stream); what the file cannot say is in the query. */
export const buildAddQuery = z.object({
  replace: z.enum(['yes', 'no']).optional().meta({ description: 'Declared by the builder: does it replace all earlier patches?' }),
  kernelBuildId: z.string().regex(/^[0-9a-f]{8,64}$/).optional().meta({ description: 'Build id of the running kernel this was built for (/sys/kernel/notes)' }),
})
export const moduleBytesMax = 64 * 1024 * 1024 // the largest .ko seen in distributions is a tenth of it

export const buildRefused = reason
