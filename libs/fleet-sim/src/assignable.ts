// The drivers' outcomes and facts fit the planner's and the store's: what execute hands on needs no translation.
// livepatch may not import rollout, so the assertion stands where both may be seen. It costs nothing at run time.
import type { HostFacts, KlpOperation, KlpOutcome, Touched } from '@uptide/livepatch'
import type { AttemptKind, Outcome, Touched as PlannedTouched } from '@uptide/rollout'

type Fits<From extends To, To> = [From, To]

export type OutcomesFit = [
  Fits<KlpOutcome, Outcome>, Fits<Outcome, KlpOutcome>,
  Fits<KlpOperation, AttemptKind>, Fits<AttemptKind, KlpOperation>,
  Fits<Touched, PlannedTouched>, Fits<PlannedTouched, Touched>,
]

/** The shape the store keeps (libs/store/src/port.ts), which fleet-sim may not import. */
interface StoredFacts {
  readonly kernelRelease: string; readonly kernelBuildId: string | null; readonly arch: string; readonly bootId: string
  readonly mechanism: string; readonly features: Readonly<Record<string, string>>; readonly taint: number
  readonly loaded: readonly { readonly name: string; readonly state: string; readonly srcversion: string | null; readonly replace: string | null; readonly stackOrder: string | null }[]
}

export type FactsFit = Fits<HostFacts, StoredFacts>
