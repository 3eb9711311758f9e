/** Stops the instances of one host (Greenplum: gpstop --host): only if each of them has a copy in sync on another host. */
import {
  COORDINATOR_CONTENT,
  MirabelleError,
  type ActionResult,
  type MessageOf,
  type SegmentRow,
} from '@mirabelle/messages'
import type { AdminSources } from './admin-sources.ts'
import { stopOne } from './cluster-admin.ts'

/** A smart stop waits for the statements of its instance, and the agent kills what does not end. */
const STOP_TIMEOUT_MS = 75_000

/** Mirrors first: the primaries' statements then go on without a wait for a mirror that is about to go. Rejects before anything is stopped. */
export async function stopHost(
  { hostname, mode, look }: MessageOf<'host.stop'>,
  sources: AdminSources,
): Promise<ActionResult[]> {
  const rows = rowsToStop(hostname, sources)
  if (look)
    return rows.map(({ dbid, content, role }) => ({
      dbid,
      content,
      outcome: 'skipped',
      message: role === 'p' ? 'acts as primary' : 'acts as mirror',
    }))
  const results: ActionResult[] = []
  for (const role of ['m', 'p'] as const) {
    const wave = rows.filter((row) => row.role === role)
    results.push(...(await Promise.all(wave.map((row) => stopNamingRole(row, mode, sources)))))
    // Each pair is told of what went before the next wave goes: FTS asks the primary once more, and takes over where one has ended.
    await Promise.all(wave.map((row) => lookAgain(row, sources)))
  }
  return results
}

async function lookAgain({ content }: SegmentRow, { fts, log }: AdminSources): Promise<void> {
  try {
    await fts()?.requestProbe(content)
  } catch (error) {
    log.warn({ content, err: error }, 'no probe after the stop of an instance')
  }
}

function rowsToStop(hostname: string, { topology }: AdminSources): SegmentRow[] {
  const refuse = (why: string): MirabelleError => new MirabelleError('not.ready', `${why} Aborting.`)
  if (topology.host(hostname) === undefined)
    throw refuse(
      `There is no host ${hostname}; the hosts are ${topology.hosts.map((one) => one.hostname).join(', ')}.`,
    )
  const rows = topology.rows().filter((row) => row.hostname === hostname)
  const own = rows.find(({ content }) => content === COORDINATOR_CONTENT)
  if (own !== undefined)
    throw refuse(
      `Host ${hostname} carries the ${own.role === 'p' ? 'coordinator' : 'standby coordinator'} (dbid ${own.dbid}): "mirabelle ${own.role === 'p' ? 'standby activate' : 'standby remove'}" moves it away first.`,
    )
  const up = rows.filter(({ status }) => status === 'u')
  for (const row of up) {
    const peer = topology.peerOf(row)
    if (peer === undefined)
      throw refuse(
        `Segment '${hostname}:${row.port}' (content ${row.content}) has no mirror: without it the content is gone.`,
      )
    if (peer.hostname === hostname)
      throw refuse(`Both copies of content ${row.content} are on host ${hostname}.`)
    if (row.mode !== 's' || peer.status !== 'u')
      throw refuse(`Segment '${hostname}:${row.port}' (content ${row.content}) not synchronized.`)
  }
  return up
}

async function stopNamingRole(
  row: SegmentRow,
  mode: MessageOf<'host.stop'>['mode'],
  sources: AdminSources,
): Promise<ActionResult> {
  const result = await stopOne(row, mode, sources, STOP_TIMEOUT_MS)
  if (result.outcome !== 'done') return result
  return { ...result, message: `${result.message}, ${row.role === 'p' ? 'was primary' : 'was mirror'}` }
}
