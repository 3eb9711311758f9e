/**
 * The standby coordinator's administration (replication §5; Greenplum: gpinitstandby, HAWQ: init standby -n): init, remove, resync.
 *
 * Asked for by an administrator, done by the acting coordinator while it serves. What `init` is about to do is in the catalog before it is done
 * (status `d`, mode `n` until the standby has all of the WAL), so a second `init` completes what was interrupted anywhere: a row without a
 * folder, a folder without a process, a copy that is half done. A failure takes back all of it and says what could not be taken back.
 */
import {
  COORDINATOR_CONTENT,
  type ActionResult,
  type MessageOf,
  type Peer,
  type SegmentRow,
} from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { markStandby, sentence, startOne, type AdminSources } from './cluster-admin.ts'
import { createIfNew } from './create-if-new.ts'
import type { WorkList } from './mirrors/work-list.ts'
import { refusal, refuseComplete } from './standby-plan.ts'
import { streams } from './standby-streams.ts'

const STOP_TIMEOUT_MS = 15_000
const REMOVE_TIMEOUT_MS = 60_000

export interface StandbySources extends AdminSources {
  readonly work: Pick<WorkList, 'claim'>
  readonly ownStatus: () => MessageOf<'instance.statusIs'>
  /** Tells the coordinator's own instance who its standby is. Resolves when that is durable. */
  readonly setPeer: (peer: Peer | null) => Promise<void>
}

/** The standby as the other half of the coordinator's pair; null when there is none. */
export const peerOf = (row: SegmentRow | undefined): Peer | null =>
  row === undefined ? null : { dbid: row.dbid, endpoint: row.endpoint }
const place = (row: SegmentRow): string => `${row.hostname}:${row.port}`

/** Makes the standby of the row, or completes what was begun; takes everything back when that fails. */
export async function initStandby(row: SegmentRow, sources: StandbySources): Promise<ActionResult[]> {
  const configured = sources.topology.mirror(COORDINATOR_CONTENT)
  if (configured !== undefined) refuseComplete(configured)
  const wanted = checked(configured ?? row, sources)
  const release = sources.work.claim(wanted)
  try {
    return await makeStandby(wanted, configured !== undefined, sources)
  } finally {
    release()
  }
}

async function makeStandby(
  wanted: SegmentRow,
  isRecorded: boolean,
  sources: StandbySources,
): Promise<ActionResult[]> {
  const { topology, log, clock } = sources
  const begunAt = clock.monotonic()
  if (faults !== undefined) await faults.at('standby.init.begin')
  if (!isRecorded) {
    await topology.change({
      replaceRows: [wanted],
      history: [
        {
          dbid: wanted.dbid,
          description: `standby init: dbid ${wanted.dbid} on ${place(wanted)}, folder ${wanted.datadir}, is being made`,
        },
      ],
    })
  }
  if (faults !== undefined) await faults.at('standby.init.recorded')
  try {
    // What is committed between its copy and its stream it lacks: nobody has told the segments so yet.
    await markStandby(true, sources)
    await createIfNew(wanted, sources, 'folder')
    await bringUp(wanted, 'auto', sources)
  } catch (error) {
    log.warn({ dbid: wanted.dbid, err: error }, 'the standby coordinator could not be made: taking it back')
    const left = await takeAway(wanted, 'standby init failed', sources)
    return [
      result(
        wanted,
        'failed',
        `${sentence(error)}; what had been made was taken back${left.length === 0 ? '' : `, but ${left.join('; ')}`}`,
      ),
    ]
  }
  const tookMs = Math.round(clock.monotonic() - begunAt)
  log.info({ dbid: wanted.dbid, tookMs }, 'the standby coordinator is complete')
  return [
    result(wanted, 'done', `the standby coordinator on ${place(wanted)} streams and has all of the WAL`),
  ]
}

function result(row: SegmentRow, outcome: ActionResult['outcome'], message: string): ActionResult {
  return { dbid: row.dbid, content: row.content, outcome, message }
}

function checked(row: SegmentRow, { topology }: StandbySources): SegmentRow {
  if (topology.host(row.hostname) === undefined) throw refusal(`there is no host ${row.hostname}`)
  const other = topology.row(row.dbid)
  if (other !== undefined && other.content !== COORDINATOR_CONTENT)
    throw refusal(`dbid ${row.dbid} belongs to content ${other.content}: ask for a new plan`)
  if (other?.role === 'p') throw refusal(`dbid ${row.dbid} is the coordinator: ask for a new plan`)
  if (other === undefined && row.dbid <= topology.lastDbid)
    throw refusal(`dbid ${row.dbid} is given away by now: run the same command again`)
  return { ...row, content: COORDINATOR_CONTENT, role: 'm', preferredRole: 'm', mode: 'n', status: 'd' }
}

/** Starts the standby and waits until it has everything; then the catalog says so. Rejects with why it does not. */
async function bringUp(
  row: SegmentRow,
  recovery: MessageOf<'standby.resync'>['mode'],
  sources: StandbySources,
): Promise<void> {
  if (faults !== undefined) await faults.at('standby.created')
  await sources.setPeer(peerOf(row))
  if (faults !== undefined) await faults.at('standby.told')
  const started = await startOne({ ...row, role: 'm' }, sources, recovery)
  if (started.outcome !== 'done') throw refusal(`dbid ${row.dbid} was not started: ${started.message}`)
  if (faults !== undefined) await faults.at('standby.started')
  await streams(row, sources)
  if (faults !== undefined) await faults.at('standby.streams')
  const now = sources.topology.row(row.dbid)
  if (now?.status === 'u' && now.mode === 's') return
  await sources.topology.change({
    rows: [{ dbid: row.dbid, role: 'm', mode: 's', status: 'u' }],
    history: [
      { dbid: row.dbid, description: `standby coordinator dbid ${row.dbid} is up and has all of the WAL` },
    ],
  })
  if (faults !== undefined) await faults.at('standby.complete')
}

/**
 * Does away with process, folder and row, the row last, so that an interrupted removal can be asked for again. Resolves with what is left on a
 * host that does not answer.
 */
async function takeAway(row: SegmentRow, why: string, sources: StandbySources): Promise<string[]> {
  const left: string[] = []
  const { links, topology } = sources
  const agent = links.agent(row.hostname)
  try {
    await agent.request({ type: 'agent.stop', dbid: row.dbid, mode: 'fast' }, STOP_TIMEOUT_MS)
    if (faults !== undefined) await faults.at('standby.remove.stopped')
    await sources.setPeer(null)
    await agent.request({ type: 'agent.remove', dbid: row.dbid }, REMOVE_TIMEOUT_MS)
  } catch (error) {
    left.push(`the folder ${row.datadir} on ${row.hostname} is left: ${sentence(error)}`)
  }
  if (faults !== undefined) await faults.at('standby.remove.discarded')
  await sources.setPeer(null)
  await topology.change({
    removeDbids: [row.dbid],
    history: [{ dbid: row.dbid, description: `${why}: dbid ${row.dbid} on ${place(row)} was removed` }],
  })
  if (faults !== undefined) await faults.at('standby.remove.recorded')
  return left
}

function requireStandby({ topology }: AdminSources): SegmentRow {
  const row = topology.mirror(COORDINATOR_CONTENT)
  if (row === undefined)
    throw refusal('the cluster has no standby coordinator: "mirabelle standby init" makes one')
  return row
}

/** Removes the standby. What cannot be deleted because its host is dead is said; the catalog is without it all the same. */
export async function removeStandby(sources: StandbySources): Promise<ActionResult[]> {
  const row = requireStandby(sources)
  // From here on it must not be activated unnoticed, wherever its process is.
  await markStandby(true, sources)
  if (faults !== undefined) await faults.at('standby.remove.marked')
  const left = await takeAway(row, 'standby remove', sources)
  return left.length === 0
    ? [result(row, 'done', `the standby coordinator on ${place(row)} and its folder were removed`)]
    : [result(row, 'failed', `the standby coordinator was removed from the catalog, but ${left.join('; ')}`)]
}

/** Brings the standby back: by WAL when that is enough, else by a copy of what differs. The coordinator goes on meanwhile. */
export async function resyncStandby(
  mode: MessageOf<'standby.resync'>['mode'],
  sources: StandbySources,
): Promise<ActionResult[]> {
  const row = requireStandby(sources)
  const stream = sources.ownStatus().replication.find((one) => one.dbid === row.dbid)
  if (mode === 'auto' && row.status === 'u' && stream?.state === 'streaming')
    return [result(row, 'skipped', `the standby coordinator on ${place(row)} streams already: nothing to do`)]
  try {
    await sources.links
      .agent(row.hostname)
      .request({ type: 'agent.stop', dbid: row.dbid, mode: 'fast' }, STOP_TIMEOUT_MS)
    await createIfNew(row, sources, 'folder', mode)
    if (faults !== undefined) await faults.at('standby.resync.stopped')
    await bringUp(row, mode, sources)
  } catch (error) {
    return [
      result(row, 'failed', `${sentence(error)}; the standby coordinator stays configured, run it again`),
    ]
  }
  return [result(row, 'done', `the standby coordinator on ${place(row)} streams and has all of the WAL`)]
}
