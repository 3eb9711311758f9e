/**
 * Keeps FTS from taking a slow start for a death: a pair whose processes have just been started is left alone until both are up, or one of them has ended, or
 * patience is over. Begun when FTS begins, after a coordinator has started its instances; a machine that starts twenty processes at once is busy, not broken.
 */
import type { FtsProber } from '@mirabelle/fts'
import type { Content, Dbid, SegmentRow } from '@mirabelle/messages'
import { delay, type Clock, type Logger } from '@mirabelle/runtime'
import { knownToAgent } from './ask-agent.ts'
import type { SegmentLinks } from './segment-links.ts'
import type { Topology } from './topology.ts'

/** How long a primary may take to be one, ms. Crash recovery of a big data directory belongs to it; it tells FTS about it by itself once it listens. */
const PRIMARY_PATIENCE_MS = 30_000
/** How long its mirror may take after that, ms: commits wait for it meanwhile. */
const MIRROR_PATIENCE_MS = 10_000
const LOOK_EVERY_MS = 100
const ASK_MS = 1_000

export interface StartingSources {
  readonly topology: Topology
  readonly links: SegmentLinks
  readonly fts: FtsProber
  readonly clock: Clock
  readonly log: Logger
}

/** Holds FTS at the contents of these instances as long as they start. Resolves when nothing is held any more; does not reject. */
export async function holdWhileStarting(
  starting: ReadonlySet<Dbid>,
  sources: StartingSources,
): Promise<void> {
  const contents = sources.topology.contents.filter((content) =>
    pairOf(content, sources).some((row) => starting.has(row.dbid)),
  )
  await Promise.all(contents.map((content) => holdOne(content, starting, sources)))
}

function pairOf(content: Content, { topology }: StartingSources): SegmentRow[] {
  return topology.rows().filter((row) => row.content === content)
}

async function holdOne(
  content: Content,
  starting: ReadonlySet<Dbid>,
  sources: StartingSources,
): Promise<void> {
  // The hold counts from this moment on, before the first cycle.
  const release = await sources.fts.hold(content)
  try {
    const rows = pairOf(content, sources).filter((row) => starting.has(row.dbid))
    for (const row of rows.filter(({ role }) => role === 'p')) {
      if (!(await comesUp(row, PRIMARY_PATIENCE_MS, sources))) return
    }
    for (const row of rows.filter(({ role }) => role === 'm')) await comesUp(row, MIRROR_PATIENCE_MS, sources)
  } finally {
    release()
  }
}

/** True when it has left `starting` within the time; false when its process has ended, its host is silent, or time is over. */
async function comesUp(row: SegmentRow, patienceMs: number, sources: StartingSources): Promise<boolean> {
  const { clock, log } = sources
  const deadline = clock.monotonic() + patienceMs
  while (clock.monotonic() < deadline) {
    const look = await lookAt(row, sources)
    if (look !== 'starting') return look === 'up'
    await delay(clock, LOOK_EVERY_MS)
  }
  log.warn(
    { dbid: row.dbid, content: row.content, patienceMs },
    'an instance takes too long to start: FTS decides now',
  )
  return false
}

async function lookAt(row: SegmentRow, { links }: StartingSources): Promise<'up' | 'starting' | 'gone'> {
  try {
    const { roleState } = await links.instance(row).request({ type: 'instance.status' }, ASK_MS)
    return roleState === 'starting' || roleState === 'promoting' ? 'starting' : 'up'
  } catch {
    return (await isAlive(row, links)) ? 'starting' : 'gone'
  }
}

/** What its agent says of its process. */
async function isAlive(row: SegmentRow, links: SegmentLinks): Promise<boolean> {
  try {
    const known = await knownToAgent(row, links, ASK_MS)
    return known !== undefined && known.pid !== null
  } catch {
    return false // whoever cannot be asked is for FTS to judge
  }
}
