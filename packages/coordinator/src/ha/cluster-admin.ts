/** Administrative actions of the coordinator: start what should run, recover what is down, stop everything. */
import {
  isMirabelleError,
  MirabelleError,
  type ActionResult,
  type Assignment,
  type SegmentRow,
} from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { assignmentFor } from './assignments.ts'
import { createIfNew } from './create-if-new.ts'
import { markQuorum } from '../standby/quorum.ts'
import { sentence, type AdminSources } from './admin-sources.ts'
import { watchProgress } from './mirrors/progress-watch.ts'
import { recoverySource } from './recovery-source.ts'

export { sentence, type AdminSources } from './admin-sources.ts'

const START_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_MS = 15_000
const ASSIGN_TIMEOUT_MS = 2_000
const MARK_TIMEOUT_MS = 1_000

/** Starts one instance through the agent of its host (an instance that runs already is adopted). */
export async function startOne(
  row: SegmentRow,
  sources: AdminSources,
  recovery: Assignment['recovery'] = 'auto',
  maxRate: number | null = null,
): Promise<ActionResult> {
  try {
    const answer = await sources.links.agent(row.hostname).request(
      {
        type: 'agent.start',
        assignment: assignmentFor(sources.topology, row, row.role, recovery, maxRate),
      },
      START_TIMEOUT_MS,
    )
    return { dbid: row.dbid, content: row.content, outcome: 'done', message: `started, pid ${answer.pid}` }
  } catch (error) {
    return { dbid: row.dbid, content: row.content, outcome: 'failed', message: sentence(error) }
  }
}

/** Starts every instance that the catalog says is up; mirrors that are marked down are skipped, as gpstart does. */
export async function startInstances(sources: AdminSources): Promise<ActionResult[]> {
  const rows = sources.topology.rows().filter((row) => row.dbid !== sources.ownDbid)
  return Promise.all(
    rows.map((row) =>
      row.status === 'd' && row.content >= 0 && row.role === 'm' ? skipped(row) : startOne(row, sources),
    ),
  )
}

function skipped({ dbid, content }: SegmentRow): Promise<ActionResult> {
  const message = 'marked down in the configuration: run "mirabelle recover"'
  return Promise.resolve({ dbid, content, outcome: 'skipped', message })
}

export interface RecoverOptions {
  readonly mode: Assignment['recovery']
  /** Given up when nothing has changed for so long. */
  readonly timeoutMs: number
  /** Bytes a second of a copy; null = no limit. */
  readonly maxRate: number | null
  /** Its process is right as it is. */
  readonly running?: boolean
}

/** Brings one instance back as mirror and waits until it is in sync (Greenplum: gprecoverseg). */
export async function recoverOne(
  row: SegmentRow,
  options: RecoverOptions,
  sources: AdminSources,
): Promise<ActionResult> {
  const { topology, links, log } = sources
  const failed = (message: string): ActionResult => ({
    dbid: row.dbid,
    content: row.content,
    outcome: 'failed',
    message,
  })
  if (faults !== undefined) await faults.at('recover.begin', { content: row.content })
  const primary = topology.primary(row.content)
  if (primary === undefined) return failed(`Primary segment is not up for content ${row.content}`)
  const source = await recoverySource(primary, sources)
  if (typeof source === 'string') return failed(source)
  try {
    // A coordinator that died while it replaced a mirror has not told the primary who its mirror is now.
    await links
      .instance(primary)
      .request(
        { type: 'instance.assign', assignment: assignmentFor(topology, primary, 'p') },
        ASSIGN_TIMEOUT_MS,
      )
  } catch (error) {
    return failed(
      `The recovery source segment ${primary.hostname} (content ${row.content}) is unreachable: ${sentence(error)}`,
    )
  }
  if (faults !== undefined) await faults.at('recover.assigned', { content: row.content })
  if (options.running !== true) {
    // Hosts may have taken their time to answer: it may have come back by itself, and have been promoted since.
    const now = topology.row(row.dbid)
    if (now?.status === 'u' && now.mode === 's' && now.role === 'm') return inSync(row)
    if (now?.role !== 'm') return failed(noMirror(row))
    log.info({ dbid: row.dbid, content: row.content, mode: options.mode }, 'recovering an instance as mirror')
    try {
      // Whatever still runs there acts on an older assignment.
      await links
        .agent(row.hostname)
        .request({ type: 'agent.stop', dbid: row.dbid, mode: 'immediate' }, STOP_TIMEOUT_MS)
      // A machine that has taken the place of another one knows of nothing.
      if (options.mode !== 'incremental') await createIfNew(row, sources, 'host', options.mode)
    } catch (error) {
      return failed(
        `Not recovering segment ${row.dbid} because ${row.hostname} is unreachable: ${sentence(error)}`,
      )
    }
    if (faults !== undefined) await faults.at('recover.stopped', { content: row.content })
    const started = await startOne(row, sources, options.mode, options.maxRate)
    if (started.outcome !== 'done') return started
    if (faults !== undefined) await faults.at('recover.started', { content: row.content })
  }
  return waitInSync(row, options.timeoutMs, sources)
}

function inSync({ dbid, content }: SegmentRow): ActionResult {
  return { dbid, content, outcome: 'done', message: 'recovered and in sync' }
}

function noMirror({ dbid, content }: SegmentRow): string {
  return `dbid ${dbid} is no mirror of content ${content} any more: the roles have changed; run "mirabelle recover" again`
}

/** Waits until FTS has recorded the instance up and in sync; as long as it gets on, and is a mirror. */
export async function waitInSync(
  row: SegmentRow,
  stallMs: number,
  sources: AdminSources,
): Promise<ActionResult> {
  const { topology } = sources
  const base = { dbid: row.dbid, content: row.content }
  const done = async (): Promise<boolean> => {
    const before = topology.row(row.dbid)?.status
    await sources
      .fts()
      ?.requestProbe(row.content)
      .catch(() => undefined) // the next round asks again
    const now = topology.row(row.dbid)
    if (now?.role !== 'm') throw new MirabelleError('not.mirror', noMirror(row))
    if (now.status === 'u' && now.mode === 's') return true
    // FTS has just found it up: it looks again at once, and finds it in sync when it has caught up.
    return before === 'd' && now.status === 'u' ? done() : false
  }
  try {
    await watchProgress({ row, stallMs, done, fromPrimary: true }, sources)
    if (faults !== undefined) await faults.at('recover.in-sync', { content: row.content })
    return inSync(row)
  } catch (error) {
    return { ...base, outcome: 'failed', message: sentence(error) }
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

/** Stops one instance through the agent of its host. */
export async function stopOne(
  row: SegmentRow,
  mode: 'smart' | 'fast' | 'immediate',
  sources: AdminSources,
  timeoutMs = STOP_TIMEOUT_MS,
): Promise<ActionResult> {
  try {
    const answer = await sources.links
      .agent(row.hostname)
      .request({ type: 'agent.stop', dbid: row.dbid, mode }, timeoutMs)
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
