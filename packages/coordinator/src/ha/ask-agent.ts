/** What the agent of its host says of an instance that does not answer itself: starting, or ended. */
import { MirabelleError, type AgentInstanceRow, type SegmentRow } from '@mirabelle/messages'
import type { SegmentLinks } from './segment-links.ts'

const AGENT_TIMEOUT_MS = 5_000

/** What the agent knows of the instance; undefined when it does not know it. Rejects when the agent does not answer. */
export async function knownToAgent(
  row: SegmentRow,
  links: SegmentLinks,
  timeoutMs = AGENT_TIMEOUT_MS,
): Promise<AgentInstanceRow | undefined> {
  const { instances } = await links.agent(row.hostname).request({ type: 'agent.status' }, timeoutMs)
  return instances.find(({ dbid }) => dbid === row.dbid)
}

/** The state of its process in the agent's words. Throws `not.mirror`, with why, when the process has ended. */
export function stateUnlessEnded(known: AgentInstanceRow | undefined): string | undefined {
  if (known?.pid === null)
    throw new MirabelleError(
      'not.mirror',
      `dbid ${known.dbid} ended: ${known.lastError ?? 'its log says why'}`,
    )
  return known?.state
}
