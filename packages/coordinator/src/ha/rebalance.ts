/**
 * Rebalance (replication §4; Greenplum: gprecoverseg -r): pairs get their preferred roles back by a switchover in which no statement fails.
 * Asked for by an administrator; ends with a row per content that is not in its preferred roles.
 *
 * The order of one switchover, and who repairs when the coordinator dies, or a step fails, right after it:
 *
 * 1. FTS keeps off the content, the lane is held: nothing has changed. The hold ends with this process.
 * 2. The acting primary ends in an orderly way: its last WAL goes to its mirror, which has all of it. FTS finds the primary dead and its
 *    mirror in sync, and fails over: the same outcome. When the mirror is lost in this moment, or the next step cannot be made durable, the primary is started again.
 * 3. The roles are recorded in one transaction, as in a failover (I2, I3): the old primary `m`,`n`,`d`, its mirror `p`,`n`,`u`. FTS finds
 *    that the acting primary says it is a mirror, and sends PROMOTE.
 * 4. PROMOTE is sent and the lane aimed at the new primary; when it is open the hold is released and those who waited go on. The old primary
 *    is down by the catalog: `mirabelle recover` brings it back.
 * 5. The old primary starts as mirror; FTS records it up and in sync. `d` until then, because until then it is no mirror: whoever
 *    comes between may fence it, but never promotes it.
 */
import {
  formatLsn,
  type ActionResult,
  type Content,
  type Lsn,
  type MessageOf,
  type SegmentRow,
} from '@mirabelle/messages'
import { WAL_PAGE_BYTES } from '@mirabelle/engine'
import { delay, faults } from '@mirabelle/runtime'
import type { Dispatcher } from '../dispatcher.ts'
import { sentence, startOne, waitInSync, type AdminSources } from './cluster-admin.ts'
import { holdLane, type LaneHold } from './lane-hold.ts'
import type { WorkList } from './mirrors/work-list.ts'

const STATUS_TIMEOUT_MS = 1_000
const PROMOTE_TIMEOUT_MS = 2_000
/** How long the mirror may take to have all WAL of a primary on which nothing runs, ms. */
const CAUGHT_UP_MS = 2_000
/** How long the PostgreSQL of a mirror that starts may take until it has replayed, ms; then the switchover goes on and the pause is longer. */
const START_TIMEOUT_MS = 20_000
const START_POLL_MS = 20
/** WAL that a mirror may still have to replay, bytes. It is given WAL by the page, so that replay is up to two pages behind what is received. */
const REPLAY_BEHIND = 2 * WAL_PAGE_BYTES
const STOP_TIMEOUT_MS = 15_000
/** How long the promoted mirror may take to open, ms. */
const OPEN_TIMEOUT_MS = 15_000
const POLL_MS = 5

export interface RebalanceSources extends AdminSources {
  readonly dispatcher: Pick<Dispatcher, 'lane'>
  readonly work: WorkList
  /** The roles of a content have changed: point its lane at the acting primary. */
  readonly aim: (content: Content) => void
}

interface Pair {
  /** Acts as primary, preferred as mirror. */
  readonly primary: SegmentRow
  readonly mirror: SegmentRow
}

type Limits = Omit<MessageOf<'cluster.rebalance'>, 'type'>

export function rebalance(
  request: MessageOf<'cluster.rebalance'>,
  sources: RebalanceSources,
): Promise<ActionResult[]> {
  const pairs = sources.topology.contents.flatMap((content) => unbalanced(content, sources) ?? [])
  return switchOver(
    pairs,
    { what: 'rebalance', done: 'in its preferred role again, in sync' },
    request,
    sources,
  )
}

/** Lets other hosts act as primary for the segments of this one. */
export function drainHost(
  request: MessageOf<'host.drain'>,
  sources: RebalanceSources,
): Promise<ActionResult[]> {
  const { topology } = sources
  const pairs = topology.contents.flatMap((content) => {
    const [primary, mirror] = [topology.primary(content), topology.mirror(content)]
    return primary?.hostname === request.hostname && mirror !== undefined ? [{ primary, mirror }] : []
  })
  return switchOver(
    pairs,
    { what: 'drain', done: `acts as primary instead of ${request.hostname}, in sync` },
    request,
    sources,
  )
}

interface Words {
  readonly what: string
  readonly done: string
}

/** One switchover after the other keeps each of the pauses short; the waits for the mirrors overlap. */
async function switchOver(
  pairs: readonly Pair[],
  words: Words,
  limits: Limits,
  sources: RebalanceSources,
): Promise<ActionResult[]> {
  const results: Promise<ActionResult>[] = []
  for (const pair of pairs) {
    const { content } = pair.primary
    await new Promise<void>((switched) => {
      const both = async (): Promise<ActionResult> => {
        const next = await rebalanceOne(pair, words, limits, sources).finally(switched)
        return next()
      }
      // The other direction is other work.
      const what = `${words.what} from dbid ${pair.primary.dbid} to dbid ${pair.mirror.dbid}`
      const done = sources.work.do(content, what, both).catch((error: unknown): ActionResult => {
        return { dbid: pair.mirror.dbid, content, outcome: 'skipped', message: sentence(error) }
      })
      results.push(done)
      // One that is only followed says nothing before its end.
      void done.then(() => switched())
    })
  }
  return Promise.all(results)
}

function unbalanced(content: Content, { topology }: RebalanceSources): Pair | undefined {
  const primary = topology.primary(content)
  const mirror = topology.mirror(content)
  if (primary === undefined || mirror === undefined) return undefined
  return primary.role !== primary.preferredRole || mirror.role !== mirror.preferredRole
    ? { primary, mirror }
    : undefined
}

/** What is still to be waited for, when the switchover is over. */
type Rest = () => Promise<ActionResult>

async function rebalanceOne(
  { primary, mirror }: Pair,
  words: Words,
  limits: Limits,
  sources: RebalanceSources,
): Promise<Rest> {
  const { topology, fts, log } = sources
  const { content } = primary
  const end =
    (outcome: ActionResult['outcome'], message: string): Rest =>
    () =>
      Promise.resolve({ dbid: mirror.dbid, content, outcome, message })
  const why = `Not rebalancing primary segment dbid ${primary.dbid} with its mirror dbid ${mirror.dbid} because`
  const unfit = (reason: string): string =>
    `${why} one is either down, unreachable, or not synchronized: ${reason}`
  await fts()
    ?.requestProbe(content)
    .catch(() => undefined) // what the catalog says then decides
  prepareStart({ primary, mirror }, sources)
  await replayedSoon({ primary, mirror }, sources)
  const unhold = (await fts()?.hold(content)) ?? (() => undefined)
  let hold: LaneHold | undefined
  let isStopped = false
  try {
    // From here on nobody else changes the roles of the pair.
    if (faults !== undefined) await faults.at('rebalance.begin', { content })
    const before = await obstacle({ primary, mirror }, sources)
    if (before !== undefined) return end('skipped', unfit(before))
    try {
      hold = await holdLane(sources.clock, sources.dispatcher.lane(content), limits.laneTimeoutMs)
    } catch (error) {
      return end('skipped', `${why} ${sentence(error)}`)
    }
    const behind = await notCaughtUp({ primary, mirror }, sources)
    if (behind !== undefined) return end('skipped', unfit(behind))
    if (faults !== undefined) await faults.at('rebalance.held', { content })
    log.info({ content, from: primary.dbid, to: mirror.dbid }, `${words.what}: switching over`)
    await sources.links
      .agent(primary.hostname)
      .request({ type: 'agent.stop', dbid: primary.dbid, mode: 'fast' }, STOP_TIMEOUT_MS)
    isStopped = true
    if (faults !== undefined) await faults.at('rebalance.stopped', { content })
    const { roleState } = await statusOf(mirror, sources)
    if (roleState !== 'mirror') throw new Error(`dbid ${mirror.dbid} is ${roleState}, not mirror`)
    await topology.change({
      rows: [
        { dbid: primary.dbid, role: 'm', mode: 'n', status: 'd' },
        { dbid: mirror.dbid, role: 'p', mode: 'n', status: 'u' },
      ],
      history: [history(words, primary, 'm', 'd'), history(words, mirror, 'p', 'u')],
    })
    isStopped = false // from here on it is another one's mirror
    if (faults !== undefined) await faults.at('rebalance.recorded', { content })
    sources.aim(content)
    const opened = promoteAndOpen(mirror, sources)
    const started = startOne({ ...primary, role: 'm' }, sources)
    await opened
    if (faults !== undefined) await faults.at('rebalance.opened', { content })
    return async () => {
      if (faults !== undefined) await faults.at('rebalance.released', { content })
      const start = await started
      if (start.outcome !== 'done')
        return {
          dbid: mirror.dbid,
          content,
          outcome: 'failed',
          message: `dbid ${mirror.dbid} is primary, but dbid ${primary.dbid} could not be started as its mirror: ${start.message}; run "mirabelle recover"`,
        }
      const synced = await waitInSync(primary, limits.timeoutMs, sources)
      return synced.outcome === 'done'
        ? { dbid: mirror.dbid, content, outcome: 'done', message: words.done }
        : {
            ...synced,
            dbid: mirror.dbid,
            message: `dbid ${mirror.dbid} is primary, but its mirror dbid ${primary.dbid} is ${synced.message}`,
          }
    }
  } catch (error) {
    log.warn({ content, err: error }, `${words.what}: the switchover did not end; FTS takes over`)
    if (isStopped) await startAgain(primary, sources)
    return end(
      'failed',
      `the switchover did not end, FTS decides now: ${sentence(error)}; see "mirabelle state"`,
    )
  } finally {
    hold?.release()
    unhold()
  }
}

function history({ what }: Words, row: SegmentRow, role: 'p' | 'm', status: 'u' | 'd') {
  return {
    dbid: row.dbid,
    description: `${what}: update role, status, and mode for dbid ${row.dbid} with contentid ${row.content} to ${role}, ${status}, and n`,
  }
}

type Status = MessageOf<'instance.statusIs'>

/** Why the pair cannot be switched over now; undefined when it can: up and in sync by the catalog (I2), both in their roles, the WAL streams. */
async function obstacle(pair: Pair, sources: RebalanceSources): Promise<string | undefined> {
  const { primary, mirror } = pair
  const { topology, links } = sources
  if (topology.primary(primary.content)?.dbid !== primary.dbid) return 'its roles have just changed'
  for (const { dbid } of [primary, mirror]) {
    const row = topology.row(dbid)
    if (row?.status !== 'u') return `dbid ${dbid} is down`
    if (row.mode !== 's') return `dbid ${dbid} is not in sync`
  }
  try {
    const [first, second] = await statuses(pair, sources)
    if (first.roleState !== 'primary') return `dbid ${primary.dbid} is ${first.roleState}, not primary`
    if (second.roleState !== 'mirror') return `dbid ${mirror.dbid} is ${second.roleState}, not mirror`
    const stream = first.replication.find((row) => row.dbid === mirror.dbid)
    if (stream?.state !== 'streaming') return `dbid ${mirror.dbid} is ${stream?.state ?? 'not connected'}`
    // It has to end the primary.
    await links.agent(primary.hostname).connect(STATUS_TIMEOUT_MS)
  } catch (error) {
    return sentence(error)
  }
  return undefined
}

/** The old primary starts again when it has ended: the process for that is made now, while nobody waits. Without one the start makes it. */
function prepareStart({ primary, mirror }: Pair, { topology, links, log }: RebalanceSources): void {
  const isFit = [primary, mirror].every(({ dbid }) => {
    const row = topology.row(dbid)
    return row?.status === 'u' && row.mode === 's'
  })
  if (!isFit) return
  links
    .agent(primary.hostname)
    .request({ type: 'agent.prepare', dbid: primary.dbid }, STATUS_TIMEOUT_MS)
    .catch((error: unknown) =>
      log.info({ dbid: primary.dbid, err: error }, 'no process is made ahead for the old primary'),
    )
}

/**
 * A mirror takes WAL, and is in sync, before its PostgreSQL replays (it starts, or starts again on a newer timeline). A promotion would wait for
 * that, so it is waited for here, while statements still run: until what the primary has now is replayed, but for a page or two.
 */
async function replayedSoon(pair: Pair, sources: RebalanceSources): Promise<void> {
  const { clock } = sources
  const deadline = clock.monotonic() + START_TIMEOUT_MS
  let target: Lsn | undefined
  while (clock.monotonic() < deadline) {
    const found = await statuses(pair, sources).catch(() => undefined) // the look under the hold says so
    if (found === undefined) return
    const [primary, mirror] = found
    target ??= primary.flushLsn
    const coming = mirror.roleState === 'starting' || mirror.roleState === 'mirror'
    if (!coming || (mirror.roleState === 'mirror' && mirror.replayLsn >= target - REPLAY_BEHIND)) return
    await delay(clock, START_POLL_MS)
  }
}

function statuses({ primary, mirror }: Pair, sources: RebalanceSources): Promise<[Status, Status]> {
  return Promise.all([statusOf(primary, sources), statusOf(mirror, sources)])
}

function statusOf(row: SegmentRow, { links }: RebalanceSources): Promise<Status> {
  return links.instance(row).request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
}

/** The mirror has flushed everything that the primary has; only asked while nothing runs. Resolves with why not, within CAUGHT_UP_MS. */
async function notCaughtUp(pair: Pair, sources: RebalanceSources): Promise<string | undefined> {
  const { clock } = sources
  const deadline = clock.monotonic() + CAUGHT_UP_MS
  for (;;) {
    try {
      const [first, second] = await statuses(pair, sources)
      if (!first.syncRep) return `dbid ${pair.primary.dbid} does not wait for its mirror`
      if (second.roleState === 'mirror' && second.flushLsn >= first.flushLsn) return undefined
      if (clock.monotonic() >= deadline)
        return `dbid ${pair.mirror.dbid} has WAL up to ${formatLsn(second.flushLsn)}, dbid ${pair.primary.dbid} up to ${formatLsn(first.flushLsn)}`
    } catch (error) {
      return sentence(error)
    }
    await delay(clock, POLL_MS)
  }
}

/** The primary that was ended serves again, as far as that can be had: until then its end is no reason for a failover. */
async function startAgain(primary: SegmentRow, sources: RebalanceSources): Promise<void> {
  const { clock } = sources
  const deadline = clock.monotonic() + OPEN_TIMEOUT_MS
  const started = await startOne(primary, sources)
  while (started.outcome === 'done' && clock.monotonic() < deadline) {
    const now = await statusOf(primary, sources).catch(() => undefined) // it starts
    if (now?.roleState === 'primary') return
    await delay(clock, START_POLL_MS)
  }
}

/** Sends PROMOTE and waits until the lane stands on the new primary. */
async function promoteAndOpen(mirror: SegmentRow, sources: RebalanceSources): Promise<void> {
  const { clock, links, dispatcher, topology } = sources
  const row = topology.row(mirror.dbid) ?? mirror
  await links.promote(row, PROMOTE_TIMEOUT_MS)
  if (faults !== undefined) await faults.at('rebalance.promoted', { content: mirror.content })
  const lane = dispatcher.lane(mirror.content)
  const deadline = clock.monotonic() + OPEN_TIMEOUT_MS
  while (!lane.isOpen) {
    if (clock.monotonic() >= deadline)
      throw new Error(`dbid ${mirror.dbid} takes no statements ${OPEN_TIMEOUT_MS} ms after its promotion`)
    await delay(clock, POLL_MS)
  }
}
