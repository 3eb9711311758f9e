/** How the instances of content -1 are to run when the command line starts them: before a coordinator stands, nobody else can say it. */
import type { ClusterSnapshot } from '@mirabelle/coordinator'
import {
  INITIAL_CLUSTER_SETTING,
  TOPOLOGY_SETTING,
  type Assignment,
  type Role,
  type SegmentRow,
} from '@mirabelle/messages'
import type { ClusterFolder } from '../folder/cluster-folder.ts'
import { agentEndpoint } from '../folder/cluster-file.ts'

/** The first catalog of the cluster. */
export function initialSnapshot(folder: ClusterFolder): ClusterSnapshot {
  const { file } = folder
  return {
    clusterId: file.clusterId,
    epoch: 1,
    mirroring: file.mirroring,
    rows: file.rows,
    hosts: file.hosts.map((host) => ({ hostname: host.name, agent: agentEndpoint(host) })),
    settings: file.settings,
  }
}

/** The assignment of an instance. `role` is what it is to start as. */
export function assignmentOf(folder: ClusterFolder, row: SegmentRow, role: Role): Assignment {
  const { file } = folder
  return {
    dbid: row.dbid,
    content: row.content,
    role,
    epoch: Math.max(1, file.epoch),
    hostname: row.hostname,
    datadir: row.datadir,
    listen: row.endpoint,
    sqlPort: row.content === -1 ? row.port : 0,
    peer: peerOf(folder, row),
    syncRep: null,
    recovery: 'auto',
    copyMaxRate: null,
    settings: { ...file.settings, ...extraSettings(folder, row, role) },
  }
}

function peerOf(folder: ClusterFolder, row: SegmentRow): Assignment['peer'] {
  const { file } = folder
  // A coordinator whose standby took over is nobody's peer any more.
  if (row.content === -1 && file.standbyDbid === null) return null
  const peer = file.rows.find((other) => other.content === row.content && other.dbid !== row.dbid)
  return peer === undefined ? null : { dbid: peer.dbid, endpoint: peer.endpoint }
}

function extraSettings(folder: ClusterFolder, row: SegmentRow, role: Role): Record<string, string> {
  const { file } = folder
  if (row.content !== -1) return {}
  if (role === 'm') {
    const known = file.rows.map(({ dbid, content, endpoint }) => ({ dbid, content, endpoint }))
    return { [TOPOLOGY_SETTING]: JSON.stringify(known) }
  }
  return file.initialised ? {} : { [INITIAL_CLUSTER_SETTING]: JSON.stringify(initialSnapshot(folder)) }
}
