/** What placement is asked and what it answers: who runs where in a new cluster, or where the mirrors of a running one go. */
import type { HostRow, SegmentRow } from '@mirabelle/messages'

/** How mirrors are placed; Greenplum's rules. */
export type Mirroring = 'group' | 'spread' | 'none'

/** A host that can carry instances. On localhost several of them share an address, with folders and ports of their own. */
export interface PlacementHost {
  readonly name: string
  /** Where the host is reached; one for each network. The instances of a host begin with different ones. */
  readonly addresses: readonly string[]
  readonly agentPort: number
  /** The folder that holds the data directories of the host's instances. */
  readonly dataRoot: string
  /** First port for the instances of the host; the next free ones follow. */
  readonly basePort: number
  /** False: no segments here, only the coordinator or the standby. Default true. */
  readonly segments?: boolean
}

/** A cluster as an administrator describes it. */
export interface ClusterDescription {
  readonly hosts: readonly PlacementHost[]
  /** Primaries in the whole cluster, or on each host. */
  readonly segments: { readonly total: number } | { readonly perHost: number }
  readonly mirroring: Mirroring
  /** Default: the first host. */
  readonly coordinatorHost?: string
  /** Port of PostgreSQL's protocol at the coordinator and at the standby. */
  readonly coordinatorPort: number
  /** Port of PostgreSQL's protocol at the standby. Default: the coordinator's, or the next free one where that is taken. */
  readonly standbyPort?: number
  /** Host of the standby coordinator; none without it. */
  readonly standbyHost?: string
  /** Place mirrors even against the rules (on the primary's own host, or several of one host's mirrors together), with a warning. */
  readonly force?: boolean
}

/** Who runs where. */
export interface ClusterPlan {
  /** By dbid: coordinator, primaries by content, mirrors by content, standby. */
  readonly rows: readonly SegmentRow[]
  readonly hosts: readonly HostRow[]
  /** For the administrator. */
  readonly warnings: readonly string[]
}

/** The description cannot be carried out; the message says what to change. */
export class PlacementError extends Error {
  override readonly name = 'PlacementError'
}
