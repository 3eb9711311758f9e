/** The catalog in the coordinator's own PostgreSQL. */
import { MirabelleError } from '@mirabelle/messages'
import { firstColumn, firstErrorCode } from '../lanes/backend-bytes.ts'
import type { LaneResult } from '../lanes/lane-item.ts'
import { changeSql, loadSnapshotSql } from './catalog-sql.ts'
import type { CatalogStore, ClusterSnapshot, Mirroring } from './cluster-catalog.ts'

export interface CatalogAccess {
  /** Runs SQL on the coordinator's engine without waiting for the standby: the coordinator must be able to read its own catalog alone. */
  readonly read: (sql: string) => Promise<LaneResult>
  /** Runs SQL ahead of clients; resolves when its WAL is durable here and, while that is waited for, on the standby. */
  readonly write: (sql: string) => Promise<LaneResult>
}

export function createSqlCatalogStore(access: CatalogAccess): CatalogStore {
  const checked = async (running: Promise<LaneResult>, what: string): Promise<LaneResult> => {
    const result = await running
    const code = firstErrorCode(result.output)
    if (code !== undefined) throw new MirabelleError('internal', `${what} failed with SQLSTATE ${code}`)
    return result
  }
  return {
    async load() {
      const text = firstColumn((await checked(access.read(loadSnapshotSql), 'reading the catalog')).output)[0]
      if (text === undefined)
        throw new MirabelleError('datadir.broken', 'the catalog of the coordinator is empty')
      return parseSnapshot(text)
    },
    async change(change) {
      await checked(access.write(changeSql(change)), 'changing the catalog')
    },
  }
}

interface RawSnapshot {
  readonly cluster: Record<string, string> | null
  readonly rows: ClusterSnapshot['rows']
  readonly hosts: ClusterSnapshot['hosts']
  readonly settings: Record<string, string>
}

function parseSnapshot(text: string): ClusterSnapshot {
  const raw = JSON.parse(text) as RawSnapshot
  const cluster = raw.cluster ?? {}
  const clusterId = cluster['cluster_id']
  if (clusterId === undefined)
    throw new MirabelleError('datadir.broken', 'the catalog of the coordinator does not name its cluster')
  return {
    clusterId,
    epoch: Number(cluster['epoch'] ?? 1),
    mirroring: (cluster['mirroring'] ?? 'none') as Mirroring,
    rows: raw.rows,
    hosts: raw.hosts,
    settings: raw.settings,
    settingsVersion: Number(cluster['settings_version'] ?? 1),
    lastDbid: Number(cluster['last_dbid'] ?? 0),
  }
}
