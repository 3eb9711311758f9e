/** Waits for a standby coordinator that starts, copies or catches up. */
import { MirabelleError, type MessageOf, type SegmentRow } from '@mirabelle/messages'
import { delay } from '@mirabelle/runtime'
import { knownToAgent, stateUnlessEnded } from './ask-agent.ts'
import type { AdminSources } from './cluster-admin.ts'

const STATUS_TIMEOUT_MS = 1_000
const LOOK_EVERY_MS = 20
/** A standby that shows no progress for so long is given up, ms. */
const STALLED_MS = 60_000

/** The walsender's view decides: streaming, and flushed as far as the coordinator had written when it was first seen so; and it can be activated. */
export async function streams(
  row: SegmentRow,
  sources: AdminSources & { readonly ownStatus: () => MessageOf<'instance.statusIs'> },
): Promise<void> {
  const { clock, links } = sources
  let last = ''
  let changedAt = clock.monotonic()
  let target: number | undefined
  for (;;) {
    const state = await howItIs(row, links)
    const own = sources.ownStatus()
    const stream = own.replication.find((one) => one.dbid === row.dbid)
    if (stream?.state === 'streaming') {
      target ??= own.flushLsn
      // WAL comes before replay has begun; an activation needs both.
      if (stream.flushLsn >= target && state.startsWith('mirror')) return
    } else target = undefined
    const seen = `${stream?.state ?? ''} ${stream?.flushLsn ?? ''} ${state}`
    if (seen !== last) {
      last = seen
      changedAt = clock.monotonic()
    } else if (clock.monotonic() - changedAt > STALLED_MS)
      throw new MirabelleError(
        'timeout',
        `dbid ${row.dbid} made no progress for ${STALLED_MS / 1000} s; it was last seen: ${seen.trim() === '' ? 'not answering' : seen.trim()}`,
      )
    await delay(clock, LOOK_EVERY_MS)
  }
}

/** What the standby is doing, or that it does not answer. Rejects when it ended or is unfit for good. */
async function howItIs(row: SegmentRow, links: AdminSources['links']): Promise<string> {
  try {
    const status = await links.instance(row).request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
    if (status.roleState === 'failed' || status.roleState === 'unfit')
      throw new MirabelleError('not.mirror', `dbid ${row.dbid} cannot follow: ${status.detail}`)
    return `${status.roleState} ${status.detail}`
  } catch (error) {
    if (error instanceof MirabelleError && error.code === 'not.mirror') throw error
  }
  // It may still be starting, or have ended: its agent knows.
  return stateUnlessEnded(await knownToAgent(row, links)) ?? ''
}
