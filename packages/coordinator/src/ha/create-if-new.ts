/** An instance of the catalog whose folder has to be made: it is new, or its host is, or the folder was lost. */
import type { Assignment, SegmentRow } from '@mirabelle/messages'
import { assignmentFor } from './assignments.ts'
import type { AdminSources } from './admin-sources.ts'

const STATUS_TIMEOUT_MS = 5_000
const CREATE_TIMEOUT_MS = 15_000
const INSPECT_TIMEOUT_MS = 60_000

/**
 * Has the agent make an empty folder, which the first start fills from the primary. New to the `host` is what its agent does not know at all; new to the `folder`
 * also what it knows elsewhere. One that the agent knows stays, unless nothing of PostgreSQL is left in it and it may be copied (`mode`); a `full` copy also needs
 * no identity of it. Ask for that when it does not run.
 */
export async function createIfNew(
  row: SegmentRow,
  { topology, links }: Pick<AdminSources, 'topology' | 'links'>,
  newTo: 'host' | 'folder',
  mode: Assignment['recovery'] = 'incremental',
): Promise<void> {
  const agent = links.agent(row.hostname)
  const { instances } = await agent.request({ type: 'agent.status' }, STATUS_TIMEOUT_MS)
  const known = instances.find(({ dbid }) => dbid === row.dbid)
  const isKnown = known !== undefined && (newTo === 'host' || known.datadir === row.datadir)
  if (isKnown && !(await isLost(row, known.dataRole, mode, links))) return
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

/** Of a folder that is known: it has to be made anew, as far as the `mode` allows. */
async function isLost(
  { dbid, hostname }: SegmentRow,
  dataRole: 'p' | 'm' | null,
  mode: Assignment['recovery'],
  links: AdminSources['links'],
): Promise<boolean> {
  if (mode === 'full') return true
  if (mode === 'incremental' || dataRole !== null) return false
  const { folder } = await links
    .agent(hostname)
    .request({ type: 'agent.inspect', dbid, countFrom: null }, INSPECT_TIMEOUT_MS)
  return folder !== null && !folder.hasBase && folder.wal === null
}
