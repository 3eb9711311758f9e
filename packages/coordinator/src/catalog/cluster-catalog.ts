/** What the coordinator keeps durably about the cluster (replication §6), and the port through which it does. */
import type { Epoch, HostRow, SegmentRow } from '@mirabelle/messages'
import type { HistoryRow, RowChange } from '@mirabelle/fts'

/** How mirrors are placed; for display and for placing new ones. */
export type Mirroring = 'group' | 'spread' | 'none'

/** Everything that is kept, read at start. */
export interface ClusterSnapshot {
  readonly clusterId: string
  readonly epoch: Epoch
  readonly mirroring: Mirroring
  readonly rows: readonly SegmentRow[]
  readonly hosts: readonly HostRow[]
  readonly settings: Readonly<Record<string, string>>
  /** How often the settings have been changed, and one; 0 before the catalog exists. */
  readonly settingsVersion?: number
  /** The highest dbid that was ever given away; without it, the highest of the rows. */
  readonly lastDbid?: number
}

/** One durable change. All parts of it happen in one transaction. */
export interface CatalogChange {
  readonly rows?: readonly RowChange[]
  readonly history?: readonly HistoryRow[]
  readonly epoch?: Epoch
  /** Rows that go (the old coordinator after an activation). */
  readonly removeDbids?: readonly number[]
  /** Rows whose place or preferred role changes, whole. */
  readonly replaceRows?: readonly SegmentRow[]
  /** Settings that change; null = back to the default. Always with the version that they then have. */
  readonly settings?: Readonly<Record<string, string | null>>
  readonly settingsVersion?: number
  /** dbids up to here are given away: none is ever used for a second instance, because the first may come back from the past. */
  readonly lastDbid?: number
  /** How mirrors are placed from now on. */
  readonly mirroring?: Mirroring
}

/** The catalog port: real over the coordinator's PostgreSQL, a stand-in in the simulation. */
export interface CatalogStore {
  load(): Promise<ClusterSnapshot>
  /** Resolves when the change is durable on the coordinator and, while that is waited for, on the standby. */
  change(change: CatalogChange): Promise<void>
}
