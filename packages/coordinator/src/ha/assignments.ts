/** How instances are to run, as the catalog says. */
import { TOPOLOGY_SETTING, type Assignment, type Role, type SegmentRow } from '@mirabelle/messages'
import type { Topology } from './topology.ts'

export function assignmentFor(
  topology: Topology,
  row: SegmentRow,
  role: Role,
  recovery: Assignment['recovery'] = 'auto',
  copyMaxRate: number | null = null,
): Assignment {
  const peer = topology.peerOf(row)
  const settings: Record<string, string> = { ...topology.stampedSettings }
  if (row.content === -1 && role === 'm') {
    settings[TOPOLOGY_SETTING] = JSON.stringify(
      topology.rows().map(({ dbid, content, endpoint }) => ({ dbid, content, endpoint })),
    )
  }
  return {
    dbid: row.dbid,
    content: row.content,
    role,
    epoch: topology.epoch,
    hostname: row.hostname,
    datadir: row.datadir,
    listen: row.endpoint,
    sqlPort: row.content === -1 ? row.port : 0,
    peer: peer === undefined ? null : { dbid: peer.dbid, endpoint: peer.endpoint },
    syncRep: null,
    recovery,
    copyMaxRate,
    settings,
  }
}
