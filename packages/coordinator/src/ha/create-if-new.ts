/** An instance of the catalog that its host does not know: it is new, or the host is. */
import type { SegmentRow } from '@mirabelle/messages'
import { assignmentFor } from './assignments.ts'
import type { AdminSources } from './admin-sources.ts'

const STATUS_TIMEOUT_MS = 5_000
const CREATE_TIMEOUT_MS = 15_000

/**
 * Has the agent make an empty folder, which the first start fills from the primary; one that the agent knows already stays. New to the `host` is what its agent
 * does not know at all; new to the `folder` also what it knows elsewhere.
 */
export async function createIfNew(
  row: SegmentRow,
  { topology, links }: Pick<AdminSources, 'topology' | 'links'>,
  newTo: 'host' | 'folder',
): Promise<void> {
  const agent = links.agent(row.hostname)
  const { instances } = await agent.request({ type: 'agent.status' }, STATUS_TIMEOUT_MS)
  const known = instances.find(({ dbid }) => dbid === row.dbid)
  if (known !== undefined && (newTo === 'host' || known.datadir === row.datadir)) return
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
