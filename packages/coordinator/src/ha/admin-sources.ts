/** What every administrative action of the coordinator works with. */
import type { FtsProber } from '@mirabelle/fts'
import type { Clock, Logger } from '@mirabelle/runtime'
import type { SegmentLinks } from './segment-links.ts'
import type { Topology } from './topology.ts'

export interface AdminSources {
  readonly topology: Topology
  readonly links: SegmentLinks
  readonly fts: () => FtsProber | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly ownDbid: number
}

/** What an error says. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
