/**
 * What happens when the agent of a host answers (again). Asked by the links of the coordinator service; lives with it.
 *
 * After a reboot the instances of the host wait for the word of the coordinator, which gives each one the role that the catalog has for it now: what
 * was primary and has been replaced comes back as mirror, or not at all. Never copies by itself: a mirror that cannot follow by WAL waits for
 * `mirabelle recover`.
 */
import type { MessageOf, SegmentRow } from '@mirabelle/messages'
import { assignmentFor } from './assignments.ts'
import type { AdminSources } from './admin-sources.ts'

const AGENT_TIMEOUT_MS = 5_000
const START_TIMEOUT_MS = 10_000
const STATUS_TIMEOUT_MS = 1_000

export async function agentIsUp(hostname: string, sources: AdminSources): Promise<void> {
  await fenceLeftovers(hostname, sources)
  await startWaiting(hostname, sources)
}

/** Starts what ran on the host before it was started anew. */
async function startWaiting(hostname: string, sources: AdminSources): Promise<void> {
  const { links, log, topology, ownDbid } = sources
  let instances: MessageOf<'agent.statusIs'>['instances']
  try {
    instances = (await links.agent(hostname).request({ type: 'agent.status' }, AGENT_TIMEOUT_MS)).instances
  } catch (error) {
    log.debug({ hostname, err: error }, 'the agent was lost again before it was asked what waits there')
    return
  }
  const waiting = instances.filter((one) => one.waiting && one.pid === null && one.dbid !== ownDbid)
  await Promise.all(
    waiting.map(async ({ dbid, datadir }) => {
      const row = topology.row(dbid)
      if (row === undefined || row.hostname !== hostname || row.datadir !== datadir) {
        log.warn(
          { dbid, hostname, datadir },
          'an instance waits that the catalog does not know: it is not started',
        )
        return
      }
      await startOne(row, sources)
    }),
  )
}

async function startOne(row: SegmentRow, { links, log, topology }: AdminSources): Promise<void> {
  // A mirror that is recorded down has not been missed by anybody: what it lacks comes by WAL, or an administrator decides.
  const recovery = row.role === 'm' ? 'incremental' : 'auto'
  try {
    const assignment = assignmentFor(topology, row, row.role, recovery)
    const { pid } = await links
      .agent(row.hostname)
      .request({ type: 'agent.start', assignment }, START_TIMEOUT_MS)
    log.info(
      { dbid: row.dbid, role: row.role, pid },
      'its host was started anew: the instance runs again, in the role of the catalog',
    )
  } catch (error) {
    log.error(
      { dbid: row.dbid, err: error },
      'an instance could not be started after its host was started anew',
    )
  }
}

/** Ends processes that still act as primary although the catalog has them as failed: their host was out of reach when they lost the role. */
async function fenceLeftovers(hostname: string, { links, log, topology }: AdminSources): Promise<void> {
  const failed = topology
    .rows()
    .filter((row) => row.hostname === hostname && row.content >= 0 && row.role === 'm' && row.status === 'd')
  for (const row of failed) {
    try {
      const status = await links.instance(row).request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
      if (status.roleState !== 'primary' || topology.row(row.dbid)?.status !== 'd') continue
      await links.fence(row, 'its mirror was promoted while its host was out of reach')
    } catch (error) {
      log.debug({ dbid: row.dbid, err: error }, 'no process of a failed instance to fence')
    }
  }
}
