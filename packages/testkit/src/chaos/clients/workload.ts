/** A workload: which operations there are on which table. Its state is shared by its clients, all in this process. */
import { contentOf } from '../../cluster/writers.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { Json, WorkloadName } from '../history/op.ts'
import type { Step } from './session.ts'

export interface Workload {
  readonly name: WorkloadName
  /** How many clients it needs to be of use. */
  readonly clients: number
  /** What makes its tables. */
  readonly tables: readonly string[]
  /** The next operation of the client with this number within the workload. */
  next(random: SimRandom, client: number): Step
  /** Told of each answer. */
  observe?(step: Step, told: Json): void
  /** What is read after the faults. */
  finalSteps(): Step[]
}

/** The contents of rows with these distribution keys, each once. */
export function contentsOf(keys: readonly number[], contents: number): number[] {
  return [...new Set(keys.map((key) => contentOf(key, contents)))].sort((a, b) => a - b)
}
