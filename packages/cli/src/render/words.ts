/** Greenplum's words for what the rows say. */
import { doesItsPart, formatLsn, type ClusterState, type InstanceStateRow } from '@mirabelle/messages'

export const segmentsOf = (state: ClusterState): InstanceStateRow[] =>
  state.instances.filter(({ content }) => content >= 0)

export const coordinatorOf = (state: ClusterState): InstanceStateRow | undefined =>
  state.instances.find(({ content, role }) => content === -1 && role === 'p')

export const standbyOf = (state: ClusterState): InstanceStateRow | undefined =>
  state.instances.find(({ content, role }) => content === -1 && role === 'm')

export const peerOf = (state: ClusterState, row: InstanceStateRow): InstanceStateRow | undefined =>
  state.instances.find(({ content, dbid }) => content === row.content && dbid !== row.dbid)

/** Its process answers. */
export const found = (row: InstanceStateRow): boolean => row.pid !== null

/** Bytes of WAL that the mirror of an acting primary has not flushed yet; `Unknown` when nothing streams. */
export function bytesBehind(primary: InstanceStateRow): string {
  const stream = primary.replication
  return stream === null ? 'Unknown' : String(Math.max(0, stream.sentLsn - stream.flushLsn))
}

/** A size for people: `23 kB`, `1.4 GB`; `Unknown` when it could not be asked. */
export function bytesOr(bytes: number | null): string {
  if (bytes === null) return 'Unknown'
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const
  let size = bytes
  let unit = 0
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit += 1
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`
}

export function standbyWords(state: ClusterState): string {
  switch (state.cluster.standby) {
    case 'none':
      return 'No coordinator standby configured'
    case 'streaming':
      return 'Standby host passive'
    case 'catchup':
      return 'Standby host catching up'
    case 'down':
      return standbyOf(state)?.pid === null ? 'Standby process not running' : 'Standby not streaming'
  }
}

export const lsnOr = (lsn: number | undefined): string => (lsn === undefined ? 'Unknown' : formatLsn(lsn))

/** What is known of a process of the row. */
export function processWords(row: InstanceStateRow): string {
  if (row.status === 'd') return 'Down in configuration'
  if (row.pid === null) return 'Process error -- database process may be down'
  return serves(row) ? 'Up' : `Not serving: ${row.state ?? 'unknown'}`
}

/** Its process does what its row says. */
export function serves(row: InstanceStateRow): boolean {
  return doesItsPart(row)
}
