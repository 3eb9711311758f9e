/** What a fault that begins has to do with. */
import type { FaultPlan } from './fault-plan.ts'
import type { FaultTriggers } from './fault-triggers.ts'
import type { SimOperator } from './operator.ts'
import type { SimCluster } from './sim-cluster.ts'

export interface FaultContext {
  readonly cluster: SimCluster
  readonly operator: SimOperator
  readonly triggers: FaultTriggers
  readonly focus: FaultPlan['focus']
  /** All faults have been ended. */
  readonly over: () => boolean
  /** Clients ask much for a moment. */
  readonly hurry: () => void
  /** Damages the next frames of WAL. */
  readonly corruptWal: (frames: number) => void
}
