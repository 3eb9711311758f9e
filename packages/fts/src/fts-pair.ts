/** A content's two catalog rows, the changes that FTS makes to them, and the texts that it writes into gp_configuration_history. Pure. */
import type { Content, SegmentRow } from '@mirabelle/messages'
import type { HistoryRow, RowChange } from './fts-ports.ts'

/** The rows of one content; `mirror` is null when the content has none. */
export interface Pair {
  readonly primary: SegmentRow
  readonly mirror: SegmentRow | null
}

/** One durable transaction: what `FtsCatalog.record` gets. */
export interface CatalogRecord {
  readonly changes: readonly RowChange[]
  readonly history: readonly HistoryRow[]
}

/** The pair of a content by acting role; undefined when the catalog does not name exactly one primary and at most one mirror. */
export function pairOf(rows: readonly SegmentRow[], content: Content): Pair | undefined {
  const [primary, ...otherPrimaries] = rows.filter((row) => row.content === content && row.role === 'p')
  const [mirror, ...otherMirrors] = rows.filter((row) => row.content === content && row.role === 'm')
  if (primary === undefined || otherPrimaries.length + otherMirrors.length > 0) return undefined
  return { primary, mirror: mirror ?? null }
}

/** Whether the catalog allows to promote the mirror (I2). Both rows are asked, so that a half-written pair is never promoted. */
export function mirrorIsPromotable(pair: Pair): boolean {
  return (
    pair.mirror !== null &&
    pair.mirror.status === 'u' &&
    pair.mirror.mode === 's' &&
    pair.primary.mode === 's'
  )
}

/** The two rows of a failover, for one transaction (I3). Throws when the mirror may not be promoted: the caller is broken (I2). */
export function failoverRecord(pair: Pair): CatalogRecord {
  const { primary, mirror } = pair
  if (mirror === null || !mirrorIsPromotable(pair)) {
    throw new Error(`content ${primary.content}: failover to a mirror that is not in sync (I2)`)
  }
  return recordOf(primary.content, [
    { dbid: primary.dbid, role: 'm', status: 'd', mode: 'n' },
    { dbid: mirror.dbid, role: 'p', status: 'u', mode: 'n' },
  ])
}

/** The mirror is gone: `d`, both `n`. */
export function mirrorDownRecord(pair: Pair): CatalogRecord {
  return recordOf(pair.primary.content, mirrorChanges(pair, 'd', 'n'))
}

/** The mirror is connected: `u`, and both `s` or both `n`. */
export function mirrorUpRecord(pair: Pair, mode: 's' | 'n'): CatalogRecord {
  return recordOf(pair.primary.content, mirrorChanges(pair, 'u', mode))
}

/** Neither copy can serve. */
export function doubleFaultRecord({ primary }: Pair): CatalogRecord {
  return note(primary, `FTS: double fault detected for content id ${primary.content}`)
}

/** A content without mirror does not answer. */
export function downRecord({ primary }: Pair): CatalogRecord {
  return note(primary, `FTS: content id ${primary.content} dbid ${primary.dbid} is down`)
}

/** What `doubleFaultRecord` or `downRecord` said is over. */
export function backUpRecord({ primary, mirror }: Pair): CatalogRecord {
  const { content, dbid } = primary
  return mirror === null
    ? note(primary, `FTS: content id ${content} dbid ${dbid} is now up`)
    : note(primary, `FTS: content id ${content} is out of double fault, dbid ${dbid} is up`)
}

function mirrorChanges({ primary, mirror }: Pair, status: 'u' | 'd', mode: 's' | 'n'): RowChange[] {
  if (mirror === null) throw new Error(`content ${primary.content} has no mirror to record`)
  const wanted: RowChange[] = [
    { dbid: primary.dbid, role: 'p', status: 'u', mode },
    { dbid: mirror.dbid, role: 'm', status, mode },
  ]
  const now = [primary, mirror]
  return wanted.filter((row, i) => row.mode !== now[i]?.mode || row.status !== now[i]?.status)
}

function recordOf(content: Content, changes: readonly RowChange[]): CatalogRecord {
  const history = changes.map(({ dbid, role, status, mode }) => ({
    dbid,
    description: `FTS: update role, status, and mode for dbid ${dbid} with contentid ${content} to ${role}, ${status}, and ${mode}`,
  }))
  return { changes, history }
}

function note({ dbid }: SegmentRow, description: string): CatalogRecord {
  return { changes: [], history: [{ dbid, description }] }
}
