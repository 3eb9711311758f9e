/**
 * The way out of a double fault: brings back a content on which nobody acts as primary, from its newest copy by timeline and LSN, without guessing. A copy that
 * lacks transactions takes over only if an administrator accepts their loss, and is told how many they are.
 *
 * The order when a loss is accepted, and who repairs when the coordinator dies right after it: FTS is kept off; the roles are recorded in one transaction; the copy
 * starts as primary. Dying after the record leaves a content whose primary does not run: the same command again starts it.
 */
import {
  formatLsn,
  type ActionResult,
  type Content,
  type FolderFacts,
  type Lsn,
  type SegmentRow,
} from '@mirabelle/messages'
import { delay, faults } from '@mirabelle/runtime'
import { sentence } from '../admin-sources.ts'
import { knownToAgent } from '../ask-agent.ts'
import { startOne } from '../cluster-admin.ts'
import type { RebalanceSources } from '../rebalance.ts'
import { inspect } from './mirror-plan.ts'
import { watchProgress } from './progress-watch.ts'

const STATUS_TIMEOUT_MS = 1_000
const STOP_TIMEOUT_MS = 15_000
/** No busy machine holds a process up for so long. */
const HUNG_MS = 15_000
const LOOK_EVERY_MS = 100

export interface ReviveRequest {
  /** Contents for which the loss of what only the other copy has is accepted. */
  readonly acceptDataLoss: readonly Content[]
  /** Given up when nothing has changed for so long, ms. */
  readonly stallMs: number
  /** Only say what would be done. */
  readonly look: boolean
}

/** A result per content that nobody serves; none for those that are well. Who only looks gets `skipped` for what would be done. */
export async function reviveContents(
  request: ReviveRequest,
  sources: RebalanceSources,
): Promise<ActionResult[]> {
  const results = await Promise.all(
    sources.topology.contents.map(async (content): Promise<ActionResult | undefined> => {
      const primary = sources.topology.primary(content)
      if (primary === undefined || (await serves(primary, sources))) return undefined
      const work = () => revive(primary, request, sources)
      const what = `revival${request.acceptDataLoss.includes(content) ? ' with an accepted loss' : ''}`
      const done = request.look ? work() : sources.work.do(content, what, work)
      return done.catch((error: unknown): ActionResult => {
        return { dbid: primary.dbid, content, outcome: 'failed', message: sentence(error) }
      })
    }),
  )
  return results.filter((result) => result !== undefined)
}

/** It acts as primary, or is about to: then FTS looks after it. */
async function serves(primary: SegmentRow, { links }: RebalanceSources): Promise<boolean> {
  try {
    const { roleState } = await links
      .instance(primary)
      .request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
    return ['primary', 'promoting', 'starting', 'mirror'].includes(roleState)
  } catch {
    return false // its folder says the rest
  }
}

/** A copy of the content: its folder, or why it is of no use. */
interface Copy {
  readonly row: SegmentRow
  readonly folder: FolderFacts | null
  readonly useless: string | null
}

async function look(row: SegmentRow, sources: RebalanceSources): Promise<Copy> {
  try {
    const folder = await inspect(row.hostname, row.dbid, sources)
    return { row, folder, useless: whyUseless(folder, row) }
  } catch (error) {
    return { row, folder: null, useless: `${row.hostname} is out of reach (${sentence(error)})` }
  }
}

function whyUseless(folder: FolderFacts | null, row: SegmentRow): string | null {
  if (folder === null) return `the agent of ${row.hostname} does not know it`
  if (folder.copying !== null) return `its ${folder.copying} copy is not complete`
  if (!folder.hasBase) return 'its data directory is missing or has no control file'
  if (folder.wal === null) return 'it has no WAL'
  return folder.wal.damaged ? `its WAL is damaged at ${formatLsn(folder.wal.endLsn)}` : null
}

async function revive(
  primary: SegmentRow,
  request: ReviveRequest,
  sources: RebalanceSources,
): Promise<ActionResult> {
  const { content } = primary
  const mirror = sources.topology.mirror(content)
  const acting = await look(primary, sources)
  const other = mirror === undefined ? undefined : await look(mirror, sources)
  const failed = (message: string): ActionResult => ({
    dbid: primary.dbid,
    content,
    outcome: 'failed',
    message,
  })
  const would = ({ dbid }: SegmentRow, message: string): ActionResult => ({
    dbid,
    content,
    outcome: 'skipped',
    message,
  })
  if (acting.useless === null && !isNewer(other, acting))
    return request.look
      ? would(primary, 'would be started again as primary')
      : start(primary, request, sources)
  if (mirror === undefined || other === undefined)
    return failed(`the only copy of content ${content} cannot be started: ${acting.useless ?? ''}`)
  if (other.useless !== null)
    return failed(
      `no copy of content ${content} can be started: dbid ${primary.dbid}: ${acting.useless ?? ''}; dbid ${mirror.dbid}: ${other.useless}`,
    )
  const instead = (why: string): ActionResult =>
    would(mirror, `would act as primary instead of dbid ${primary.dbid}: ${why}`)
  // In sync by the catalog (I2), or of a newer timeline: it has everything that anybody was told.
  if (isNewer(other, acting)) {
    const why = 'nothing is lost, its timeline is newer'
    return request.look ? instead(why) : takeOver(primary, mirror, why, request, sources)
  }
  if (mirror.mode === 's' && mirror.status === 'u')
    return request.look
      ? instead('nothing is lost, it was in sync')
      : start(mirror, request, sources, primary)
  const lacks = await loss(acting, other, sources)
  if (!request.acceptDataLoss.includes(content))
    return failed(
      `dbid ${primary.dbid} on ${primary.hostname}, which has all of content ${content}, cannot be started: ${acting.useless ?? ''}. dbid ${mirror.dbid} on ${mirror.hostname} was not in sync: ${lacks}. Bring dbid ${primary.dbid} back if there is any way; "mirabelle recover --accept-data-loss ${content}" gives up what only it has`,
    )
  const why = `accepted loss: ${lacks}`
  return request.look ? instead(why) : takeOver(primary, mirror, why, request, sources)
}

/** It was primary after the other one: the catalog is that of a coordinator which did not know. */
function isNewer(one: Copy | undefined, than: Copy): boolean {
  if (one?.useless !== null || one.folder?.wal === null || one.folder === null) return false
  return one.folder.wal.timeline > (than.folder?.wal?.timeline ?? Number.POSITIVE_INFINITY)
}

/** What the other copy lacks, from the WAL of the one that served last, as far as that can be read. */
async function loss(acting: Copy, other: Copy, sources: RebalanceSources): Promise<string> {
  const end: Lsn = other.folder?.wal?.endLsn ?? 0
  const { row } = acting
  const unknown = `it has WAL up to ${formatLsn(end)}; how many transactions it lacks cannot be said, because the WAL of dbid ${row.dbid} cannot be read`
  if (acting.folder?.wal === null || acting.folder === null) return unknown
  try {
    const folder = await inspect(row.hostname, row.dbid, sources, end)
    if (folder?.commits === null || folder === null) return unknown
    const lastKnown = folder.wal?.damaged === true ? 'at least ' : ''
    return `it lacks ${lastKnown}${folder.commits} transaction(s), WAL from ${formatLsn(end)} to ${formatLsn(acting.folder.wal.endLsn)}`
  } catch (error) {
    return `${unknown} (${sentence(error)})`
  }
}

/** Starts the copy that has everything, in the role that the catalog gives it; FTS does the rest when that is the mirror in sync. */
async function start(
  row: SegmentRow,
  request: ReviveRequest,
  sources: RebalanceSources,
  lost?: SegmentRow,
): Promise<ActionResult> {
  await endIfHung(row, sources)
  const started = await startOne(row, sources)
  if (started.outcome !== 'done') return started
  await isPrimary(row, request, sources)
  const message =
    lost === undefined
      ? 'acts as primary again'
      : `acts as primary instead of dbid ${lost.dbid}; it was in sync, nothing is lost`
  return { dbid: row.dbid, content: row.content, outcome: 'done', message }
}

/** A process that runs and says nothing would be taken for started. Nobody else can serve its content, and its WAL is all there: it is killed, to start anew. */
async function endIfHung(row: SegmentRow, sources: RebalanceSources): Promise<void> {
  const { clock, links, log } = sources
  const deadline = clock.monotonic() + HUNG_MS
  for (;;) {
    const pid = await knownToAgent(row, links).then(
      (known) => known?.pid ?? null,
      () => null, // without its agent it can neither be ended nor started
    )
    if (pid === null || (await answers(row, sources))) return
    if (clock.monotonic() >= deadline) {
      log.warn(
        { dbid: row.dbid, content: row.content, pid },
        'a process hangs: it is killed and started anew',
      )
      return links.fence(row, 'it runs, but says nothing')
    }
    await delay(clock, LOOK_EVERY_MS)
  }
}

function answers(row: SegmentRow, { links }: RebalanceSources): Promise<boolean> {
  return links
    .instance(row)
    .request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
    .then(
      () => true,
      () => false,
    )
}

async function takeOver(
  primary: SegmentRow,
  mirror: SegmentRow,
  why: string,
  request: ReviveRequest,
  sources: RebalanceSources,
): Promise<ActionResult> {
  const { topology, links, fts, log } = sources
  const { content } = primary
  log.warn(
    { content, from: primary.dbid, to: mirror.dbid, why },
    'a copy that was not in sync becomes primary',
  )
  const unhold = (await fts()?.hold(content)) ?? (() => undefined)
  try {
    // The roles may have changed while the folders were read.
    if (topology.primary(content)?.dbid !== primary.dbid || (await serves(primary, sources)))
      return {
        dbid: primary.dbid,
        content,
        outcome: 'skipped',
        message: 'its primary has come back meanwhile',
      }
    await links
      .agent(mirror.hostname)
      .request({ type: 'agent.stop', dbid: mirror.dbid, mode: 'immediate' }, STOP_TIMEOUT_MS)
    if (faults !== undefined) await faults.at('revive.stopped', { content })
    await topology.change({
      rows: [
        { dbid: primary.dbid, role: 'm', mode: 'n', status: 'd' },
        { dbid: mirror.dbid, role: 'p', mode: 'n', status: 'u' },
      ],
      history: [
        {
          dbid: mirror.dbid,
          description: `recover: dbid ${mirror.dbid} with contentid ${content} acts as primary instead of dbid ${primary.dbid}, ${why}`,
        },
      ],
    })
    if (faults !== undefined) await faults.at('revive.recorded', { content })
    sources.aim(content)
    links.fence(primary, 'a copy of its content has taken over').catch((error: unknown) => {
      log.warn(
        { dbid: primary.dbid, err: error },
        'the old primary could not be fenced; its mirror does not acknowledge any more',
      )
    })
    const started = await startOne({ ...mirror, role: 'p' }, sources)
    if (started.outcome !== 'done') return started
    if (faults !== undefined) await faults.at('revive.started', { content })
  } finally {
    unhold()
  }
  await isPrimary(mirror, request, sources)
  return {
    dbid: mirror.dbid,
    content,
    outcome: 'done',
    message: `acts as primary instead of dbid ${primary.dbid}: ${why}`,
  }
}

function isPrimary(row: SegmentRow, { stallMs }: ReviveRequest, sources: RebalanceSources): Promise<void> {
  return watchProgress(
    {
      row,
      stallMs,
      done: async (status) => {
        if (status?.roleState === 'primary') return true
        // A mirror in sync is promoted when FTS has looked again.
        await sources
          .fts()
          ?.requestProbe(row.content)
          .catch(() => undefined) // the next round asks again
        return false
      },
    },
    sources,
  )
}
