/** What transactions share: the lanes of the cluster, and who names and remembers distributed transactions. */
import type { Content, Gid } from '@mirabelle/messages'
import type { Clock, Logger } from '@mirabelle/runtime'
import type { Lane } from '../lanes/lane.ts'
import type { DtxRegistry } from './registry.ts'

export interface TransactionContext {
  readonly lanes: ReadonlyMap<Content, Lane>
  readonly registry: DtxRegistry
  readonly nextAge: () => number
  readonly nextGid: (participants: readonly Content[]) => Gid
  readonly clock: Clock
  readonly log: Logger
}
