/** Administrative actions of the coordinator: start what should run, recover what is down, stop everything. */
import {
  isMirabelleError,
  MirabelleError,
  type ActionResult,
  type MessageOf,
  type SegmentRow,
} from '@mirabelle/messages'
import type { FtsProber } from '@mirabelle/fts'
import { delay, type Clock, type Logger } from '@mirabelle/runtime'
import { assignmentFor } from './assignments.ts'
import { markQuorum } from '../standby/quorum.ts'
import type { SegmentLinks } from './segment-links.ts'
import type { Topology } from './topology.ts'

const START_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_MS = 15_000
const SYNC_POLL_MS = 100
const MARK_TIMEOUT_MS = 1_000

export interface AdminSources {
  readonly topology: Topology
  readonly links: SegmentLinks
  readonly fts: () => FtsProber | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly ownDbid: number
}

/** What an error says. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Starts one instance through the agent of its host (an instance that runs already is adopted). */
export async function startOne(
  row: SegmentRow,
  sources: AdminSources,
  recovery: 'auto' | 'incremental' | 'differential' | 'full' = 'auto',
): Promise<ActionResult> {
  try {
    const answer = await sources.links
      .agent(row.hostname)
      .request(
        { type: 'agent.start', assignment: assignmentFor(sources.topology, row, row.role, recovery) },
        START_TIMEOUT_MS,
      )
    return { dbid: row.dbid, content: row.content, outcome: 'done', message: `started, pid ${answer.pid}` }
  } catch (error) {
    return { dbid: row.dbid, content: row.content, outcome: 'failed', message: sentence(error) }
  }
}

/** Starts every instance that the catalog says is up; those marked down are skipped, as gpstart does. */
export async function startInstances(sources: AdminSources): Promise<ActionResult[]> {
  const rows = sources.topology.rows().filter((row) => row.dbid !== sources.ownDbid)
  return Promise.all(
    rows.map((row) => (row.status === 'd' && row.content >= 0 ? skipped(row) : startOne(row, sources))),
  )
}

function skipped({ dbid, content }: SegmentRow): Promise<ActionResult> {
  const message = 'marked down in the configuration: run "mirabelle recover"'
  return Promise.resolve({ dbid, content, outcome: 'skipped', message })
}

/** Brings instances that are marked down back as mirrors and waits until they are in sync (Greenplum: gprecoverseg). */
export async function recoverInstances(
  request: MessageOf<'cluster.recover'>,
  sources: AdminSources,
): Promise<ActionResult[]> {
  const { topology } = sources
  const wanted = (row: SegmentRow) =>
    row.content >= 0 && row.status === 'd' && (request.dbids === null || request.dbids.includes(row.dbid))
  return Promise.all(
    topology
      .rows()
      .filter(wanted)
      .map((row) => recoverOne(row, request, sources)),
  )
}

async function recoverOne(
  row: SegmentRow,
  request: MessageOf<'cluster.recover'>,
  sources: AdminSources,
): Promise<ActionResult> {
  const { topology, links, log } = sources
  const failed = (message: string): ActionResult => ({
    dbid: row.dbid,
    content: row.content,
    outcome: 'failed',
    message,
  })
  const primary = topology.primary(row.content)
  if (primary === undefined || primary.status !== 'u')
    return failed(`Primary segment is not up for content ${row.content}`)
  try {
    const status = await links.instance(primary).request({ type: 'instance.status' }, 1_000)
    if (status.role !== 'p')
      return failed(`Segment to recover from for content ${row.content} is not a primary`)
  } catch (error) {
    return failed(
      `The recovery source segment ${primary.hostname} (content ${row.content}) is unreachable: ${sentence(error)}`,
    )
  }
  log.info({ dbid: row.dbid, content: row.content, mode: request.mode }, 'recovering an instance as mirror')
  try {
    // Whatever still runs there acts on an older assignment.
    await links
      .agent(row.hostname)
      .request({ type: 'agent.stop', dbid: row.dbid, mode: 'immediate' }, STOP_TIMEOUT_MS)
  } catch (error) {
    return failed(
      `Not recovering segment ${row.dbid} because ${row.hostname} is unreachable: ${sentence(error)}`,
    )
  }
  const started = await startOne(row, sources, request.mode)
  if (started.outcome !== 'done') return started
  return waitInSync(row, request.timeoutMs, sources)
}

/** Waits until FTS has recorded the instance up and in sync. */
export async function waitInSync(
  row: SegmentRow,
  timeoutMs: number,
  sources: AdminSources,
): Promise<ActionResult> {
  const { topology, links, clock } = sources
  const deadline = clock.monotonic() + timeoutMs
  let last = 'starting'
  while (clock.monotonic() < deadline) {
    await sources
      .fts()
      ?.requestProbe(row.content)
      .catch(() => undefined) // the next round asks again
    const now = topology.row(row.dbid)
    if (now?.status === 'u' && now.mode === 's') {
      return { dbid: row.dbid, content: row.content, outcome: 'done', message: 'recovered and in sync' }
    }
    try {
      const status = await links.instance(row).request({ type: 'instance.status' }, 1_000)
      last = status.detail === '' ? status.roleState : status.detail
      if (status.roleState === 'failed' || status.roleState === 'unfit') {
        return { dbid: row.dbid, content: row.content, outcome: 'failed', message: last }
      }
    } catch (error) {
      last = sentence(error)
    }
    await delay(clock, SYNC_POLL_MS)
  }
  return {
    dbid: row.dbid,
    content: row.content,
    outcome: 'failed',
    message: `not in sync after ${timeoutMs} ms: ${last}`,
  }
}

/** Stops all instances but the coordinator itself: primaries, then mirrors, then the standby. */
export async function stopInstances(
  mode: 'smart' | 'fast' | 'immediate',
  sources: AdminSources,
): Promise<ActionResult[]> {
  const results: ActionResult[] = []
  const waves: ((row: SegmentRow) => boolean)[] = [
    (row) => row.content >= 0 && row.role === 'p',
    (row) => row.content >= 0 && row.role === 'm',
    (row) => row.content === -1 && row.dbid !== sources.ownDbid,
  ]
  for (const wave of waves) {
    const rows = sources.topology.rows().filter(wave)
    results.push(...(await Promise.all(rows.map((row) => stopOne(row, mode, sources)))))
  }
  return results
}

async function stopOne(
  row: SegmentRow,
  mode: 'smart' | 'fast' | 'immediate',
  sources: AdminSources,
): Promise<ActionResult> {
  try {
    const answer = await sources.links
      .agent(row.hostname)
      .request({ type: 'agent.stop', dbid: row.dbid, mode }, STOP_TIMEOUT_MS)
    return {
      dbid: row.dbid,
      content: row.content,
      outcome: 'done',
      message: answer.wasRunning ? 'stopped' : 'was not running',
    }
  } catch (error) {
    return { dbid: row.dbid, content: row.content, outcome: 'failed', message: sentence(error) }
  }
}

/**
 * Records with the segment instances whether the standby has all of the coordinator's WAL. Resolves when enough of them have (quorum.ts); rejects when
 * too few can be told.
 */
export function markStandby(stale: boolean, sources: AdminSources): Promise<void> {
  const { topology, links } = sources
  const rows = topology.rows().filter((row) => row.content >= 0)
  const needed = markQuorum(rows.length)
  return new Promise((resolve, reject) => {
    let marked = 0
    let failed = 0
    for (const row of rows) {
      links
        .instance(row)
        .request({ type: 'standby.mark', epoch: topology.epoch, stale }, MARK_TIMEOUT_MS)
        .then(
          () => {
            if (++marked === needed) resolve()
          },
          (error: unknown) => {
            if (++failed <= rows.length - needed) return
            reject(
              isMirabelleError(error)
                ? error
                : new MirabelleError('connection.lost', 'too few instances could be told about the standby', {
                    cause: error,
                  }),
            )
          },
        )
    }
  })
}
