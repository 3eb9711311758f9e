/** Who is the coordinator? Both instances of content -1 are asked, because the file may be older than the last activation. */
import type { MessageOf, SegmentRow } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import type { Cluster } from './cluster.ts'

const STATUS_MS = 1_500

/** What an instance said of itself, or why it said nothing. */
export interface InstanceAnswer {
  readonly row: SegmentRow
  readonly status: MessageOf<'instance.statusIs'> | undefined
  readonly error: string
}

export async function askInstance(
  cluster: Cluster,
  row: SegmentRow,
  timeoutMs = STATUS_MS,
): Promise<InstanceAnswer> {
  try {
    const status = await cluster.control.ask(row.endpoint, { type: 'instance.status' }, timeoutMs)
    return { row, status, error: '' }
  } catch (error) {
    return { row, status: undefined, error: sentenceOf(error) }
  }
}

/** The instance of content -1 that acts as primary, of the highest epoch when there should be two; undefined when none does. */
export async function findCoordinator(cluster: Cluster): Promise<InstanceAnswer | undefined> {
  const answers = await Promise.all(cluster.folder.coordinators.map((row) => askInstance(cluster, row)))
  const acting = answers
    .filter(({ status }) => status?.roleState === 'primary')
    .sort((a, b) => (b.status?.epoch ?? 0) - (a.status?.epoch ?? 0))[0]
  if (acting?.status !== undefined) await remember(cluster, acting.row, acting.status.epoch)
  return acting
}

/** Brings the file up to date with what was found. */
export async function remember(
  cluster: Cluster,
  acting: SegmentRow,
  epoch: number,
  options: { readonly quiet?: boolean } = {},
): Promise<void> {
  let changed = false
  await cluster.folder.update((now) => {
    // One that this command still knew and nobody else any more.
    if (!now.rows.some(({ dbid }) => dbid === acting.dbid)) return {}
    changed = now.coordinatorDbid !== acting.dbid
    return {
      coordinatorDbid: acting.dbid,
      // An activation removes the old coordinator; what is left has no standby.
      standbyDbid: changed ? null : now.standbyDbid,
      // It acts itself, or another one does: then no activation has come to anything.
      activatingDbid: null,
      epoch: Math.max(now.epoch, epoch),
    }
  })
  if (changed && options.quiet !== true)
    cluster.reporter.say(
      `dbid ${acting.dbid} on ${acting.hostname} acts as coordinator since the standby was activated`,
    )
}

/** The acting coordinator. Throws CliError with what to do when none answers. */
export async function requireCoordinator(cluster: Cluster): Promise<InstanceAnswer> {
  const acting = await findCoordinator(cluster)
  if (acting !== undefined) return acting
  throw new CliError(noCoordinator(cluster))
}

/** What to say when no coordinator answers. */
export function noCoordinator(cluster: Cluster): string {
  const { file } = cluster.folder
  const row = cluster.folder.row(file.coordinatorDbid)
  const standby =
    file.standbyDbid === null ? '' : ', or let its standby take over with "mirabelle standby activate"'
  return `the coordinator (dbid ${row.dbid}, ${row.address}:${row.port}) does not answer: start it with "mirabelle start"${standby}`
}
