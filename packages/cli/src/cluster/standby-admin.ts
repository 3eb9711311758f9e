/**
 * The standby coordinator's administration from the command line. The coordinator does the work; here the description of the cluster is kept
 * true: it names a new standby before that is made, because an interrupted command leaves one that only the description can lead to.
 */
import type { ActionResult, MessageOf, SegmentRow } from '@mirabelle/messages'
import { ensureAgentsOrSay } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { withProgress } from './copy-progress.ts'
import { describedBy } from './describe-catalog.ts'
import { requireCoordinator } from './coordinators.ts'
import { stateFromCoordinator } from './state-of.ts'

const PLAN_MS = 30_000
/** Copies of large databases take their time; a standby that makes no progress is given up by the coordinator long before. */
const WORK_MS = 24 * 3_600_000

export type ResyncMode = MessageOf<'standby.resync'>['mode']

/** Where a standby is to be; null = as the coordinator finds best. */
export interface StandbyPlace {
  readonly host: string | null
  /** For clients. */
  readonly port: number | null
  /** An absolute path. */
  readonly datadir: string | null
}

/** Makes a standby, or completes what an interrupted init began. Throws CliError when it is refused. */
export async function initStandby(
  cluster: Cluster,
  { host, port, datadir }: StandbyPlace,
): Promise<readonly ActionResult[]> {
  const { folder, control, reporter } = cluster
  await ensureAgentsOrSay(cluster)
  const acting = await requireCoordinator(cluster)
  const complete = await completeMeanwhile(cluster)
  if (complete !== undefined) return [complete]
  const { row, begun } = await control.ask(
    acting.row.endpoint,
    {
      type: 'standby.plan',
      host,
      port,
      datadir,
      aboveDbid: Math.max(...folder.file.rows.map(({ dbid }) => dbid)),
      before: folder.coordinators
        .filter(({ dbid }) => dbid !== acting.row.dbid)
        .map(({ hostname, port, endpoint }) => ({ hostname, sqlPort: port, port: endpoint.port })),
    },
    PLAN_MS,
  )
  reporter.say(
    `${begun ? 'Completing' : 'Making'} the standby coordinator: dbid ${row.dbid} on ${row.hostname}, port ${row.port}, folder ${row.datadir}`,
  )
  const before = folder.coordinators
  await describeWith(cluster, acting.row, row)
  await folder.update({ makingStandbyDbid: row.dbid })
  const answer = await withProgress(cluster, [row], () =>
    control.ask(acting.row.endpoint, { type: 'standby.init', row }, WORK_MS),
  ).catch(async (error: unknown) => {
    await describeAsBefore(cluster, acting.row, row, before).catch(() => undefined) // then nobody knows whether it has begun
    throw error
  })
  if (answer.results.some(({ outcome }) => outcome === 'failed'))
    await describeWith(cluster, acting.row, null)
  await folder.update({ makingStandbyDbid: null })
  return answer.results
}

/** What was refused before it was begun is not described: nobody must take it for the standby. Rejects when the coordinator does not say what it has. */
async function describeAsBefore(
  { control, folder }: Cluster,
  acting: SegmentRow,
  { dbid, datadir }: SegmentRow,
  before: readonly SegmentRow[],
): Promise<void> {
  const catalog = await control.ask(acting.endpoint, { type: 'cluster.catalog' }, PLAN_MS)
  if (catalog.rows.some((one) => one.dbid === dbid && one.datadir === datadir)) return
  await folder.update((now) => {
    const rows = [...now.rows.filter(({ content }) => content >= 0), ...before]
    return { makingStandbyDbid: null, ...describedBy(catalog)({ ...now, rows, makingStandbyDbid: null }) }
  })
}

/** The coordinator went on alone after an earlier `init` was interrupted, and has come to the end: that is what was asked for. */
async function completeMeanwhile(cluster: Cluster): Promise<ActionResult | undefined> {
  const { folder } = cluster
  const dbid = folder.file.makingStandbyDbid ?? null
  if (dbid === null) return undefined
  const state = await stateFromCoordinator(cluster)
  const row = state?.instances.find((one) => one.dbid === dbid && one.content === -1 && one.role === 'm')
  if (row?.status !== 'u') return undefined
  await folder.update({ makingStandbyDbid: null })
  return {
    dbid,
    content: -1,
    outcome: 'done',
    message: `the standby coordinator on ${row.host}:${row.port}, which an interrupted init had begun, is complete`,
  }
}

/** Does away with the standby and its folder. */
export async function removeStandby(cluster: Cluster): Promise<readonly ActionResult[]> {
  const { folder } = cluster
  await ensureAgentsOrSay(cluster)
  const acting = await requireCoordinator(cluster)
  const removed = await removedMeanwhile(cluster)
  if (removed === undefined) await folder.update({ removingStandbyDbid: folder.file.standbyDbid })
  const { results } =
    removed === undefined
      ? await cluster.control.ask(acting.row.endpoint, { type: 'standby.remove' }, WORK_MS)
      : { results: [removed] }
  await describeWith(cluster, acting.row, null)
  await folder.update({ removingStandbyDbid: null })
  return results
}

/** The coordinator went on alone after an earlier `remove` was interrupted, and has come to the end: that is what was asked for. */
async function removedMeanwhile(cluster: Cluster): Promise<ActionResult | undefined> {
  const dbid = cluster.folder.file.removingStandbyDbid ?? null
  if (dbid === null) return undefined
  const state = await stateFromCoordinator(cluster)
  if (state === undefined || state.instances.some(({ content, role }) => content === -1 && role === 'm'))
    return undefined
  const message = 'the standby coordinator was removed, as an interrupted remove had begun to'
  return { dbid, content: -1, outcome: 'done', message }
}

/** Brings the standby back while the coordinator serves. */
export async function resyncStandby(cluster: Cluster, mode: ResyncMode): Promise<readonly ActionResult[]> {
  await ensureAgentsOrSay(cluster)
  const acting = await requireCoordinator(cluster)
  const standby = cluster.folder.file.rows.find(({ dbid }) => dbid === cluster.folder.file.standbyDbid)
  const ask = () => cluster.control.ask(acting.row.endpoint, { type: 'standby.resync', mode }, WORK_MS)
  const { results } = await (standby === undefined ? ask() : withProgress(cluster, [standby], ask))
  return results
}

/**
 * The instances of content -1 are this coordinator and this standby. An older coordinator that an activation removed is kept in the description
 * only while there is no other standby: its host and ports are what the next one gets.
 */
async function describeWith(cluster: Cluster, acting: SegmentRow, standby: SegmentRow | null): Promise<void> {
  await cluster.folder.update((now) => {
    const rows =
      standby === null
        ? now.rows
        : [...now.rows.filter((row) => row.content !== -1 || row.dbid === acting.dbid), standby]
    return {
      rows: [...rows].sort((a, b) => a.dbid - b.dbid),
      coordinatorDbid: acting.dbid,
      standbyDbid: standby?.dbid ?? null,
    }
  })
}
