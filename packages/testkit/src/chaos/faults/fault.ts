/** What a fault is. */
import type { SimRandom } from '../../sim/sim-random.ts'
import type { ClusterView } from './cluster-view.ts'

export interface FaultContext {
  readonly view: ClusterView
  readonly random: SimRandom
}

/** A fault that was done. */
export interface Struck {
  /** What exactly, for the history. */
  readonly what: string
  /** The contents that it hits; -1 is the coordinator's. */
  readonly contents: readonly number[]
  /** Ends what nobody else would end: a stopped process goes on. */
  readonly release?: () => void | Promise<void>
  /** Of a cluster that was well there is a second instance for all that it hits: clients get on without an administrator, and before the end of the round. */
  readonly isSurvived?: boolean
  /** What has to happen besides, within that time: rejects with NoFailover when it does not. */
  readonly survived?: (limitMs: number) => Promise<void>
  /** Asked when all of the round has ended: rejects with what is an anomaly. */
  readonly verify?: () => Promise<void>
  /** Work that goes on; resolves with how it ended. It rejects only with what is an anomaly. */
  readonly running?: Promise<string>
}

export interface Fault {
  readonly description: string
  /** How often it is drawn compared with others. */
  readonly weight: number
  /** It can be done only where hosts are network namespaces. */
  readonly needsNetwork?: boolean
  /** Does it; undefined when there is nothing to do it to now. */
  readonly strike: (context: FaultContext) => Promise<Struck | undefined>
}

/** One instance was lost, and nobody did what was to be done. */
export class NoFailover extends Error {
  override readonly name = 'NoFailover'
}
