export { readModuleFile } from './read.js'
export type { ModuleFacts, ModuleFlavour, ModuleParameter, ModuleRefusal, ModuleVerdict, PatchedObjectFact, RefusalCode, SignatureFact } from './verdict.js'
