export { simulate, type SimulationOptions, type SimulationResult } from './sim/simulation.ts'
export { runSeeds, tellFailure, type RunSeedsOptions, type SeedsResult } from './sim/run-seeds.ts'
export { mutants, type Mutant } from './sim/mutants.ts'
export { faultKinds, type FaultKind, type FaultPlan } from './sim/fault-plan.ts'
