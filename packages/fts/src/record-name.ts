/** What a record of FTS is called by its fault points. */
import type { CatalogRecord, Pair } from './fts-pair.ts'

/** `pair` is as it was before the record. */
export function recordName(
  changes: CatalogRecord['changes'],
  pair: Pair | null,
): 'failover' | 'mirror-down' | 'mirror-up' | 'out-of-sync' | 'history' {
  if (changes.length === 0) return 'history'
  const primary = changes.find(({ dbid }) => dbid === pair?.primary.dbid)
  if (primary?.role === 'm') return 'failover'
  const mirror = changes.find(({ role }) => role === 'm')
  if (mirror?.status === 'd') return 'mirror-down'
  return mirror?.mode === 'n' ? 'out-of-sync' : 'mirror-up'
}
