/** The catalog of a simulated coordinator: one value of its stand-in engine, replicated to the standby as WAL like everything else. */
import type { CatalogChange, CatalogStore, ClusterSnapshot } from '@mirabelle/coordinator/ha'
import { MirabelleError } from '@mirabelle/messages'
import { readAnswer } from './pg-bytes.ts'

/** Name of the value. */
export const CATALOG_KEY = 'catalog'

export interface CatalogAccess {
  /** Runs one statement without waiting for the standby. */
  readonly read: (sql: string) => Promise<{ readonly output: Uint8Array }>
  /** Runs one statement; resolves when it is durable here and, while that is waited for, on the standby. */
  readonly write: (sql: string) => Promise<{ readonly output: Uint8Array }>
}

export function createSimCatalogStore(access: CatalogAccess): CatalogStore {
  const load = async (): Promise<ClusterSnapshot> => {
    const text = readAnswer((await access.read(`get ${CATALOG_KEY}`)).output).rows[0]
    if (text === undefined)
      throw new MirabelleError('datadir.broken', 'the catalog of the coordinator is empty')
    return JSON.parse(text) as ClusterSnapshot
  }
  let current: ClusterSnapshot | undefined
  return {
    async load() {
      current = await load()
      return current
    },
    async change(change) {
      const next = applyChange(current ?? (await load()), change)
      const { error } = readAnswer((await access.write(`put ${CATALOG_KEY} ${JSON.stringify(next)}`)).output)
      if (error !== undefined)
        throw new MirabelleError('internal', `changing the catalog failed with SQLSTATE ${error}`)
      current = next
    },
  }
}

/** The catalog after a change. */
export function applyChange(snapshot: ClusterSnapshot, change: CatalogChange): ClusterSnapshot {
  const changed = new Map((change.rows ?? []).map((row) => [row.dbid, row]))
  const replaced = new Map((change.replaceRows ?? []).map((row) => [row.dbid, row]))
  const rows = snapshot.rows
    .filter((row) => !(change.removeDbids ?? []).includes(row.dbid) && !replaced.has(row.dbid))
    .map((row) => ({ ...row, ...changed.get(row.dbid) }))
  return {
    ...snapshot,
    epoch: change.epoch ?? snapshot.epoch,
    mirroring: change.mirroring ?? snapshot.mirroring,
    lastDbid: Math.max(change.lastDbid ?? 0, snapshot.lastDbid ?? 0),
    rows: [...rows, ...replaced.values()].sort((a, b) => a.dbid - b.dbid),
  }
}
