// Every route, as data: the server mounts it, the guard and the OpenAPI document read it, the CLI calls it.
import { z } from 'zod'
import * as events from './events.js'
import * as halts from './halts.js'
import * as hosts from './hosts.js'
import * as patches from './patches.js'
import * as rollouts from './rollouts.js'
import * as schedules from './schedule.js'
import { idPageQuery, name, page } from './words.js'

/** Who may call it. People and roles come with 4 of 5; until then a token may do everything. */
export type Access = 'public' | 'token'

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly access: Access
  readonly says: string
  readonly query?: z.ZodType
  readonly body?: z.ZodType | 'bytes'
  readonly reply: z.ZodType | 'stream' | 'text' | 'json'
  /** Success status, default 200. */
  readonly status?: number
}

const nothing = z.object({})
const health = z.object({ ok: z.boolean(), version: z.string(), roles: z.array(z.string()) })

export const routes = {
  'health': { method: 'GET', path: '/api/v1/health', access: 'public', says: 'Is this process well?', reply: health },
  'openapi': { method: 'GET', path: '/api/v1/openapi.json', access: 'public', says: 'This API as OpenAPI 3.1', reply: 'json' },
  'metrics': { method: 'GET', path: '/metrics', access: 'token', says: 'Prometheus metrics', reply: 'text' },

  'host.add': { method: 'POST', path: '/api/v1/hosts', access: 'token', says: 'Enrol a host with its pinned key', body: hosts.hostAdd, reply: hosts.host, status: 201 },
  'host.list': { method: 'GET', path: '/api/v1/hosts', access: 'token', says: 'Hosts, by name', query: hosts.hostQuery, reply: page(hosts.host) },
  'host.show': { method: 'GET', path: '/api/v1/hosts/:name', access: 'token', says: 'One host', reply: hosts.host },
  'host.probe': { method: 'POST', path: '/api/v1/hosts/:name/probe', access: 'token', says: 'Ask the host now and record what it says', body: nothing, reply: hosts.probeReply },
  'host.retrust': { method: 'POST', path: '/api/v1/hosts/:name/retrust', access: 'token', says: 'Accept a changed host key, by its fingerprint', body: hosts.hostRetrust, reply: hosts.host },

  'credential.add': { method: 'POST', path: '/api/v1/credentials', access: 'token', says: 'Store an SSH key, sealed', body: hosts.credentialAdd, reply: hosts.credential, status: 201 },
  'credential.list': { method: 'GET', path: '/api/v1/credentials', access: 'token', says: 'Stored credentials, without their secrets', reply: page(hosts.credential) },

  'patch.add': { method: 'POST', path: '/api/v1/patches', access: 'token', says: 'Create a patch; builds are added to it', body: patches.patchAdd, reply: patches.patch, status: 201 },
  'patch.list': { method: 'GET', path: '/api/v1/patches', access: 'token', says: 'Patches, newest first', query: idPageQuery, reply: page(patches.patch) },
  'patch.show': { method: 'GET', path: '/api/v1/patches/:name', access: 'token', says: 'One patch and its builds', reply: patches.patch },
  'build.add': { method: 'POST', path: '/api/v1/patches/:name/builds', access: 'token', says: 'Upload a .ko as a build of the patch', query: patches.buildAddQuery, body: 'bytes', reply: patches.build, status: 201 },

  'pacing.show': { method: 'GET', path: '/api/v1/pacing', access: 'token', says: 'How many hosts may be in flight in the whole installation', reply: rollouts.pacing },
  'pacing.set': { method: 'POST', path: '/api/v1/pacing', access: 'token', says: 'Limit the hosts in flight in the whole installation', body: rollouts.pacing, reply: rollouts.pacing },

  'schedule.preview': { method: 'POST', path: '/api/v1/schedule/preview', access: 'token', says: 'Is a schedule open now, and its next occurrences; nothing is stored', body: schedules.previewAsk, reply: schedules.previewReply },
  'calendar.read': { method: 'POST', path: '/api/v1/schedule/calendar', access: 'token', says: 'Read an iCalendar file as blackouts; nothing is stored', query: schedules.calendarQuery, body: 'bytes', reply: schedules.calendarReply },

  'halt.list': { method: 'GET', path: '/api/v1/halts', access: 'token', says: 'Artefacts that harmed a host and start nowhere, with their suspects', query: halts.haltQuery, reply: page(halts.halt) },
  'halt.release': { method: 'POST', path: '/api/v1/halts/:id/release', access: 'token', says: 'Let the artefact start again; why is kept', body: halts.haltRelease, reply: halts.halt },

  'rollout.plan': { method: 'POST', path: '/api/v1/rollouts/plan', access: 'token', says: 'What would be done, and why; changes nothing', body: rollouts.rolloutAsk, reply: rollouts.rolloutPlan },
  'rollout.create': { method: 'POST', path: '/api/v1/rollouts', access: 'token', says: 'Create a rollout and start it', body: rollouts.rolloutCreate, reply: rollouts.rollout, status: 201 },
  'rollout.list': { method: 'GET', path: '/api/v1/rollouts', access: 'token', says: 'Rollouts, newest first', query: idPageQuery, reply: page(rollouts.rollout) },
  'rollout.show': { method: 'GET', path: '/api/v1/rollouts/:id', access: 'token', says: 'One rollout, by id or name', reply: rollouts.rollout },
  'rollout.targets': { method: 'GET', path: '/api/v1/rollouts/:id/targets', access: 'token', says: 'Its targets, with state, reason and progress', query: rollouts.targetQuery, reply: page(rollouts.target) },
  'rollout.start': { method: 'POST', path: '/api/v1/rollouts/:id/start', access: 'token', says: 'Start a draft', body: rollouts.actReason, reply: rollouts.rollout },
  'rollout.approve': { method: 'POST', path: '/api/v1/rollouts/:id/approve', access: 'token', says: 'Approve the plan; never one\'s own. It starts when enough people have', body: rollouts.approvalAsk, reply: rollouts.rollout },
  'rollout.reject': { method: 'POST', path: '/api/v1/rollouts/:id/reject', access: 'token', says: 'Reject the plan; the rollout is cancelled', body: rollouts.approvalAsk, reply: rollouts.rollout },
  'rollout.override': { method: 'POST', path: '/api/v1/rollouts/:id/override', access: 'token', says: 'Go on outside its windows for a while: one asks, another confirms', body: rollouts.overrideAsk, reply: rollouts.overrideReply },
  'rollout.hold': { method: 'POST', path: '/api/v1/rollouts/:id/hold', access: 'token', says: 'No new starts; what runs is followed to its end', body: rollouts.actReason, reply: rollouts.rollout },
  'rollout.resume': { method: 'POST', path: '/api/v1/rollouts/:id/resume', access: 'token', says: 'Go on; the errors so far are accepted', body: rollouts.actReason, reply: rollouts.rollout },
  'rollout.cancel': { method: 'POST', path: '/api/v1/rollouts/:id/cancel', access: 'token', says: 'Start nothing more, ever; patched hosts stay patched', body: rollouts.actReason, reply: rollouts.rollout },
  'rollout.revert': { method: 'POST', path: '/api/v1/rollouts/:id/revert', access: 'token', says: 'Undo on every host, or on the hosts named', body: rollouts.revertAsk, reply: rollouts.rollout },

  'event.list': { method: 'GET', path: '/api/v1/events', access: 'token', says: 'Recorded events, in order', query: events.eventQuery, reply: page(events.event) },
  'event.stream': { method: 'GET', path: '/api/v1/events/stream', access: 'token', says: 'Server-sent events; send Last-Event-ID to catch up', query: events.streamQuery, reply: 'stream' },
  'event.verify': { method: 'GET', path: '/api/v1/events/verify', access: 'token', says: 'Check the whole chain', reply: events.chainReply },

  'token.create': { method: 'POST', path: '/api/v1/tokens', access: 'token', says: 'A further named token; its secret is shown once', body: z.object({ name }), reply: events.tokenCreated, status: 201 },
  'token.list': { method: 'GET', path: '/api/v1/tokens', access: 'token', says: 'Tokens, without their secrets', reply: page(events.token) },
  'token.revoke': { method: 'DELETE', path: '/api/v1/tokens/:name', access: 'token', says: 'Revoke a token at once', reply: events.token },
} as const satisfies Readonly<Record<string, Route>>

export type RouteName = keyof typeof routes
export type ReplyOf<N extends RouteName> = (typeof routes)[N]['reply'] extends z.ZodType ? z.output<(typeof routes)[N]['reply']> : unknown
export type BodyOf<N extends RouteName> = (typeof routes)[N] extends { body: infer B } ? (B extends z.ZodType ? z.input<B> : Uint8Array) : undefined
export type QueryOf<N extends RouteName> = (typeof routes)[N] extends { query: infer Q extends z.ZodType } ? z.input<Q> : undefined
