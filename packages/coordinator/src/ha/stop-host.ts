/**
 * Stops the instances of one host (Greenplum: gpstop --host): only if each of them has a copy in sync on another host. No other work is done on their contents
 * meanwhile: neither is the host of their other copies stopped, nor are roles switched over.
 */
import {
  COORDINATOR_CONTENT,
  MirabelleError,
  type ActionResult,
  type MessageOf,
  type SegmentRow,
} from '@mirabelle/messages'
import type { AdminSources } from './admin-sources.ts'
import { stopOne } from './cluster-admin.ts'
import type { WorkList } from './mirrors/work-list.ts'

/** A smart stop waits for the statements of its instance, and the agent kills what does not end. */
const STOP_TIMEOUT_MS = 75_000

interface StopSources extends AdminSources {
  readonly work: WorkList
}

/** Rejects before anything is stopped: with what is in the way, or with `busy`. */
export async function stopHost(
  { hostname, mode, look }: MessageOf<'host.stop'>,
  sources: StopSources,
): Promise<ActionResult[]> {
  const rows = rowsToStop(hostname, sources)
  if (look)
    return rows.map(({ dbid, content, role }) => ({
      dbid,
      content,
      outcome: 'skipped',
      message: role === 'p' ? 'acts as primary' : 'acts as mirror',
    }))
  const contents = new Set(rows.map(({ content }) => content))
  return sources.work.doAll([...contents], `stop of host ${hostname}`, () => stopRows(rows, mode, sources))
}

/** Mirrors first: the primaries' statements then go on without a wait for a mirror that is about to go. */
async function stopRows(
  rows: readonly SegmentRow[],
  mode: MessageOf<'host.stop'>['mode'],
  sources: StopSources,
): Promise<ActionResult[]> {
  const [mirrors, primaries] = (['m', 'p'] as const).map((role) => rows.filter((row) => row.role === role))
  const results = await stopWave(mirrors ?? [], mode, sources)
  // The mirrors may have taken their time to stop.
  await Promise.all((primaries ?? []).map((row) => lookAgain(row, sources)))
  const fit = (primaries ?? []).filter(({ dbid, content }) => isSpare(dbid, content, sources))
  const unfit = (primaries ?? []).filter((row) => !fit.includes(row))
  return [
    ...results,
    ...(await stopWave(fit, mode, sources)),
    ...unfit.map(({ dbid, content }): ActionResult => {
      return { dbid, content, outcome: 'failed', message: 'not stopped: its mirror is not in sync any more' }
    }),
  ]
}

async function stopWave(
  wave: readonly SegmentRow[],
  mode: MessageOf<'host.stop'>['mode'],
  sources: StopSources,
): Promise<ActionResult[]> {
  const results = await Promise.all(wave.map((row) => stopNamingRole(row, mode, sources)))
  // Each pair is told of what went: FTS asks the primary once more, and takes over where one has ended.
  await Promise.all(wave.map((row) => lookAgain(row, sources)))
  return results
}

/** The content is served without it: another instance acts as primary, or can. */
function isSpare(dbid: number, content: number, { topology }: AdminSources): boolean {
  const [primary, mirror] = [topology.primary(content), topology.mirror(content)]
  return primary?.dbid !== dbid || (primary.mode === 's' && mirror?.status === 'u')
}

async function lookAgain({ content }: SegmentRow, { fts, log }: AdminSources): Promise<void> {
  try {
    await fts()?.requestProbe(content)
  } catch (error) {
    log.warn({ content, err: error }, 'no probe around the stop of an instance')
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
