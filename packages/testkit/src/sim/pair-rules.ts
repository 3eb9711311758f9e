/** What a catalog may never say of a pair: two of a role, a primary that is down, halves that do not agree, a mirror that is down and in sync. */
import type { SegmentRow } from '@mirabelle/messages'

/** A sentence about the first pair of which it says so; undefined when it says so of none. */
export function wrongInPairs(rows: readonly SegmentRow[]): string | undefined {
  for (const one of rows) {
    if (one.content < 0) continue
    const other = rows.find(({ content, dbid }) => content === one.content && dbid !== one.dbid)
    const isWell =
      (one.role === 'm' || one.status === 'u') &&
      (one.mode === 'n' || one.status === 'u') &&
      (other === undefined || (other.role !== one.role && other.mode === one.mode))
    if (isWell) continue
    const pair = rows.filter(({ content }) => content === one.content)
    return `the catalog says of content ${one.content}: ${pair.map(({ dbid, role, mode, status }) => `dbid ${dbid} ${role} ${mode} ${status}`).join(', ')}`
  }
  return undefined
}
