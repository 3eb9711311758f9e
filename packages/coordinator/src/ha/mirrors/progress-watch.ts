/** Waits for an instance that copies, starts or catches up. Given up only when it shows no progress: how long a copy takes, nobody knows before. */
import { MirabelleError, type MessageOf, type SegmentRow } from '@mirabelle/messages'
import { delay } from '@mirabelle/runtime'
import { sentence, type AdminSources } from '../admin-sources.ts'
import { knownToAgent, stateUnlessEnded } from '../ask-agent.ts'

const STATUS_TIMEOUT_MS = 1_000
const LOOK_EVERY_MS = 50
/** While it starts to follow. */
const LOOK_CLOSELY_MS = 20

export type Status = MessageOf<'instance.statusIs'>

export interface ProgressWatch {
  readonly row: SegmentRow
  readonly stallMs: number
  /** Resolves the wait when it is true. Asked with what the instance says, or undefined when it does not answer. */
  readonly done: (status: Status | undefined) => boolean | Promise<boolean>
  /** It gets everything from the primary of its content: without one there is nothing to wait for. */
  readonly fromPrimary?: boolean
}

/** Resolves when `done` says so; rejects when the instance ends, is unfit, has lost its source, or stands still for `stallMs`. */
export async function watchProgress(watch: ProgressWatch, sources: AdminSources): Promise<void> {
  const { clock, links } = sources
  const { row } = watch
  let last = ''
  let changedAt = clock.monotonic()
  for (;;) {
    const status = await links
      .instance(row)
      .request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
      .catch(() => undefined) // starting, or ended: the agent knows
    if (await watch.done(status)) return
    if (watch.fromPrimary === true) requireSource(row, sources)
    if (status?.roleState === 'failed' || status?.roleState === 'unfit')
      throw new MirabelleError('not.mirror', `dbid ${row.dbid} cannot follow: ${status.detail}`)
    const seen = status === undefined ? await seenByAgent(row, sources) : picture(status)
    const now = clock.monotonic()
    if (seen !== last) {
      last = seen
      changedAt = now
    } else if (now - changedAt >= watch.stallMs)
      throw new MirabelleError('timeout', `not in sync after ${watch.stallMs} ms: ${told(status) || seen}`)
    const isFollowing = status?.roleState === 'starting' || status?.roleState === 'mirror'
    await delay(clock, isFollowing ? LOOK_CLOSELY_MS : LOOK_EVERY_MS)
  }
}

/** FTS has found that no copy of the content serves: the source will not come back by itself. */
function requireSource({ content, dbid }: SegmentRow, { fts }: AdminSources): void {
  const health = fts()?.contentState(content)?.health
  if (health !== 'double-fault' && health !== 'down') return
  throw new MirabelleError(
    'content.unavailable',
    `dbid ${dbid} has lost the primary of content ${content}, which serves no more: "mirabelle recover" brings the content back first`,
  )
}

function picture(status: Status): string {
  return [
    status.roleState,
    status.timeline,
    status.flushLsn,
    status.replayLsn,
    status.detail,
    status.copy?.bytesDone,
  ].join(' ')
}

function told(status: Status | undefined): string {
  return status === undefined ? '' : status.detail || status.roleState
}

async function seenByAgent(row: SegmentRow, { links }: AdminSources): Promise<string> {
  let known
  try {
    known = await knownToAgent(row, links)
  } catch (error) {
    return sentence(error)
  }
  return stateUnlessEnded(known) ?? 'not known to the agent of its host'
}
