export { readModuleFile } from './read.js'
export type { ModuleFacts, ModuleVerdict, PatchedObjectFact, RefusalCode, SignatureFact } from './verdict.js'
