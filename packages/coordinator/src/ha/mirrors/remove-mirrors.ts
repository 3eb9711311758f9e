/** Makes a cluster one without mirrors. Each content by itself: row, primary, process, folder; run again it goes on where it was interrupted. */
import { MirabelleError, type ActionResult, type Content, type SegmentRow } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { sentence } from '../admin-sources.ts'
import type { MirrorSources } from './mirror-sources.ts'
import { tellPrimary } from './switch-mirror.ts'

const STOP_TIMEOUT_MS = 15_000
const REMOVE_TIMEOUT_MS = 600_000
const AGENT_TIMEOUT_MS = 5_000

export async function removeMirrors(sources: MirrorSources): Promise<ActionResult[]> {
  const { topology, work } = sources
  const results = await Promise.all(
    topology.contents.map((content) => {
      const dbid = (topology.mirror(content) ?? topology.primary(content))?.dbid ?? 0
      return work
        .do(content, 'removal of mirrors', () => removeOf(content, sources))
        .catch((error: unknown) => [result({ dbid, content }, 'failed', sentence(error))])
    }),
  )
  const isDone = !topology.rows().some((row) => row.content >= 0 && row.role === 'm')
  if (isDone && topology.mirroring !== 'none') await topology.change({ mirroring: 'none' })
  return results.flat()
}

/** The mirror of the catalog, and what is left of others: an earlier run was interrupted, or a host was away. */
async function removeOf(content: Content, sources: MirrorSources): Promise<ActionResult[]> {
  const { topology } = sources
  const mirror = topology.mirror(content)
  const removed = mirror === undefined ? [] : [await removeOne(mirror, sources)]
  const primary = topology.primary(content)
  // An earlier run may have ended between the catalog and the primary, which then waits for a mirror whose process is about to go.
  if (mirror === undefined && primary?.status === 'u') await tellPrimary(primary, sources)
  return [...removed, ...(await discardLeftovers(content, removed, sources))]
}

function result(
  row: Pick<SegmentRow, 'dbid' | 'content'>,
  outcome: ActionResult['outcome'],
  message: string,
): ActionResult {
  return { dbid: row.dbid, content: row.content, outcome, message }
}

async function removeOne(mirror: SegmentRow, sources: MirrorSources): Promise<ActionResult> {
  const { topology, fts, links } = sources
  const { content } = mirror
  const unhold = (await fts()?.hold(content)) ?? (() => undefined)
  try {
    const primary = topology.primary(content)
    if (primary?.status !== 'u' || topology.mirror(content)?.dbid !== mirror.dbid)
      throw new MirabelleError(
        'not.ready',
        `content ${content} has no primary that is up: bring it back first`,
      )
    const { roleState } = await links.instance(primary).request({ type: 'instance.status' }, AGENT_TIMEOUT_MS)
    if (roleState !== 'primary')
      throw new MirabelleError(
        'not.ready',
        `dbid ${primary.dbid} of content ${content} is ${roleState}, not primary`,
      )
    const alone: SegmentRow = { ...primary, preferredRole: 'p', mode: 'n' }
    if (faults !== undefined) await faults.at('mirrors.remove.held', { content })
    await topology.change({
      removeDbids: [mirror.dbid],
      replaceRows: [alone],
      history: [
        {
          dbid: mirror.dbid,
          description: `mirrors remove: dbid ${mirror.dbid} with contentid ${content} on ${mirror.hostname}:${mirror.port} was removed`,
        },
      ],
    })
    if (faults !== undefined) await faults.at('mirrors.remove.recorded', { content })
    await tellPrimary(alone, sources)
    if (faults !== undefined) await faults.at('mirrors.remove.told', { content })
  } finally {
    unhold()
    sources.rowsChanged()
  }
  return discard(mirror, mirror.hostname, sources)
}

/** Ends the process of an instance that no row names, and deletes its folder. Resolves with what became of it; never rejects. */
export async function discard(
  row: Pick<SegmentRow, 'dbid' | 'content'> & { readonly datadir: string },
  hostname: string,
  { links }: MirrorSources,
): Promise<ActionResult> {
  try {
    const agent = links.agent(hostname)
    await agent.request({ type: 'agent.stop', dbid: row.dbid, mode: 'immediate' }, STOP_TIMEOUT_MS)
    if (faults !== undefined) await faults.at('mirrors.remove.stopped', { content: row.content })
    await agent.request({ type: 'agent.remove', dbid: row.dbid }, REMOVE_TIMEOUT_MS)
    if (faults !== undefined) await faults.at('mirrors.remove.discarded', { content: row.content })
    return result(row, 'done', 'the mirror and its folder were removed')
  } catch (error) {
    return result(
      row,
      'failed',
      `the mirror was removed from the catalog, but its folder ${row.datadir} on ${hostname} is left: ${sentence(error)}; run "mirabelle mirrors remove" again when the host is back`,
    )
  }
}

/** Does away with instances of a content that no row names any more: an earlier run was interrupted, or a host was away. */
export async function discardLeftovers(
  content: Content,
  told: readonly ActionResult[],
  sources: MirrorSources,
): Promise<ActionResult[]> {
  const { topology, links } = sources
  const results: ActionResult[] = []
  for (const { hostname } of topology.hosts) {
    const instances = await links
      .agent(hostname)
      .request({ type: 'agent.status' }, AGENT_TIMEOUT_MS)
      .then((answer) => answer.instances)
      .catch(() => []) // its leftovers wait for the next run
    for (const one of instances) {
      if (one.content !== content || topology.row(one.dbid) !== undefined) continue
      if (told.some(({ dbid }) => dbid === one.dbid)) continue
      results.push(await discard(one, hostname, sources))
    }
  }
  return results
}
