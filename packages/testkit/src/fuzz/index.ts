export { drawInput, runTarget, type FuzzOptions, type FuzzResult } from './run-target.ts'
export { watchTarget, type Watching } from './watch-target.ts'
export type { FuzzInput, FuzzTarget } from './fuzz-target.ts'
export { fuzzTargets as plantedTargets } from './planted-targets.ts'
export { fuzzTargets } from './targets/index.ts'

/** The planted targets, as a thread loads them. */
export const plantedModule = new URL('./planted-targets.js', import.meta.url)
