/** The description of the cluster is brought up to date with the catalog: other commands, perhaps of other machines with a description of their own, have changed that. */
import type { SegmentRow } from '@mirabelle/messages'
import type { ClusterFile } from '../folder/cluster-file.ts'
import type { Mirroring } from '../placement/placement.ts'

export interface Catalog {
  readonly rows: readonly SegmentRow[]
  readonly mirroring: Mirroring
}

/** What a description becomes. Roles stay as they were planned: they are the catalog's, the description only says where everything is. */
export function describedBy({ rows, mirroring }: Catalog): (now: ClusterFile) => Partial<ClusterFile> {
  return (now) => {
    const known = new Map(now.rows.map((row) => [row.dbid, row]))
    const segments = rows
      .filter(({ content }) => content >= 0)
      .map((row) => {
        const before = known.get(row.dbid)
        return before === undefined
          ? row
          : { ...row, role: before.role, mode: before.mode, status: before.status }
      })
    const { others, standbyDbid } = coordinators(rows, now)
    return { rows: [...others, ...segments].sort((a, b) => a.dbid - b.dbid), mirroring, standbyDbid }
  }
}

/**
 * The coordinator with the standby of the catalog. Without one a coordinator of the past stays described, whose place the next standby gets; and a standby that is
 * just being made is described before it is in the catalog.
 */
function coordinators(
  rows: readonly SegmentRow[],
  now: ClusterFile,
): { readonly others: readonly SegmentRow[]; readonly standbyDbid: number | null } {
  const described = now.rows.filter(({ content }) => content < 0)
  const standby = rows.find(({ content, role }) => content === -1 && role === 'm')
  if (standby === undefined) {
    const isBegun = now.standbyDbid !== null && now.standbyDbid === (now.makingStandbyDbid ?? null)
    return { others: described, standbyDbid: isBegun ? now.standbyDbid : null }
  }
  const acting = rows.find(({ content, role }) => content === -1 && role === 'p')
  return {
    others: [...described.filter(({ dbid }) => dbid === acting?.dbid), standby],
    standbyDbid: standby.dbid,
  }
}

/** Not every instance of the catalog is described where it is. */
export function isStale(
  now: ClusterFile,
  rows: readonly Pick<SegmentRow, 'dbid' | 'content' | 'role' | 'datadir' | 'port'>[],
): boolean {
  const standby = rows.find(({ content, role }) => content === -1 && role === 'm')
  return (
    rows.some(
      ({ dbid, datadir, port }) =>
        !now.rows.some((one) => one.dbid === dbid && one.datadir === datadir && one.port === port),
    ) ||
    now.rows.some(({ dbid, content }) => content >= 0 && !rows.some((one) => one.dbid === dbid)) ||
    ((now.makingStandbyDbid ?? null) === null && now.standbyDbid !== (standby?.dbid ?? null))
  )
}
