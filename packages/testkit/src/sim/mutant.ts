/** A bug that is planted on purpose. */
import type { SimOverrides } from './sim-cluster.ts'

export interface Mutant {
  readonly name: string
  /** What is wrong, as one would find it in a commit. */
  readonly bug: string
  /** A seed that finds it, or is near one that does: where the test begins. */
  readonly firstSeed: number
  /** The promises whose breach shows it. */
  readonly found: readonly string[]
  /** Makes it anew for each seed. */
  readonly plant: () => SimOverrides
}
