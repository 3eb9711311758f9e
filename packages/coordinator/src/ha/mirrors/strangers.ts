/**
 * Instances of a content that no row names: the making of a mirror was interrupted and is not gone on with, or one that was replaced came back from the past.
 * They get no WAL and nobody promotes them, but they cost memory, and a half copy is of no use to anybody.
 */
import type { AgentInstanceRow, Content, Dbid } from '@mirabelle/messages'
import type { MirrorSources } from './mirror-sources.ts'
import { inspect } from './mirror-plan.ts'

const AGENT_TIMEOUT_MS = 5_000
const STOP_TIMEOUT_MS = 15_000
const REMOVE_TIMEOUT_MS = 600_000

/**
 * Before work on a content: ends its strangers but the one that is to be worked on, and deletes those that are no whole copies. A whole one stays in its
 * folder: it may be what is left of a lost host. Hosts that do not answer are passed over.
 */
export async function putStrangersAway(content: Content, but: Dbid, sources: MirrorSources): Promise<void> {
  await Promise.all(
    sources.topology.hosts.map(async ({ hostname }) => {
      try {
        const { instances } = await sources.links
          .agent(hostname)
          .request({ type: 'agent.status' }, AGENT_TIMEOUT_MS)
        for (const one of instances)
          if (one.content === content && one.dbid !== but && sources.topology.row(one.dbid) === undefined)
            await putOneAway(one, hostname, sources)
      } catch (error) {
        sources.log.debug({ hostname, content, err: error }, 'strangers of the content could not be put away')
      }
    }),
  )
}

async function putOneAway(
  { dbid, pid }: AgentInstanceRow,
  hostname: string,
  sources: MirrorSources,
): Promise<void> {
  const agent = sources.links.agent(hostname)
  if (pid !== null) await agent.request({ type: 'agent.stop', dbid, mode: 'immediate' }, STOP_TIMEOUT_MS)
  const folder = await inspect(hostname, dbid, sources)
  const isWhole = folder !== null && folder.hasBase && folder.copying === null
  sources.log.warn(
    { dbid, hostname, pid, isWhole },
    'an instance that is in no row of the catalog is put away',
  )
  if (!isWhole) await agent.request({ type: 'agent.remove', dbid }, REMOVE_TIMEOUT_MS)
}
