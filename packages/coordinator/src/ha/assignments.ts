/** How instances are to run, as the catalog says. */
import type { Assignment, Role, SegmentRow } from '@mirabelle/messages'
import type { Topology } from './topology.ts'

/** Key of the standby's assignment under which it finds the whole cluster, for an activation without the old coordinator. */
export const TOPOLOGY_SETTING = 'mirabelle.topology'

/** Key under which an agent tells a coordinator that nobody asked for its start: it has to prove to itself that it still rules. */
export const PROVE_EPOCH_SETTING = 'mirabelle.prove-epoch'

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
