/** An instance of the catalog that its host does not know: it is new, or the host is. */
import type { SegmentRow } from '@mirabelle/messages'
import { assignmentFor } from './assignments.ts'
import type { AdminSources } from './admin-sources.ts'

const STATUS_TIMEOUT_MS = 5_000
const CREATE_TIMEOUT_MS = 15_000

/** Has the agent make an empty folder, which the first start fills from the primary; one that the agent knows already stays. */
export async function createIfNew(
  row: SegmentRow,
  { topology, links }: Pick<AdminSources, 'topology' | 'links'>,
): Promise<void> {
  const agent = links.agent(row.hostname)
  const { instances } = await agent.request({ type: 'agent.status' }, STATUS_TIMEOUT_MS)
  if (instances.some(({ dbid, datadir }) => dbid === row.dbid && datadir === row.datadir)) return
  await agent.request(
    {
      type: 'agent.create',
      assignment: assignmentFor(topology, row, 'm'),
      clusterId: topology.clusterId,
      from: 'empty',
    },
    CREATE_TIMEOUT_MS,
  )
}
