/** What commands of the command line ask of the coordinator: the same messages in the same order as in `packages/cli`. */
import type { MessageOf, MirrorMove, ReplyOf, RequestType, SegmentRow } from '@mirabelle/messages'

export type Ask = <K extends RequestType>(message: MessageOf<K>) => Promise<ReplyOf<K>>

/** Work that makes no progress for so long is given up. */
const STALL_MS = 10_000
const PARALLEL = 16

/**
 * `mirabelle recover`: revives contents that nobody serves, then brings all mirrors that are marked down back, in place. A copy that was not in sync may take over
 * where the cluster says that it lacks nothing.
 */
export async function recover(ask: Ask, mode: MessageOf<'mirrors.plan'>['mode']): Promise<void> {
  const revive = (acceptDataLoss: readonly number[]) =>
    ask<'cluster.revive'>({ type: 'cluster.revive', acceptDataLoss, stallMs: STALL_MS, look: false })
  const { results } = await revive([])
  const lackNothing = results.filter(({ outcome, message }) => outcome === 'failed' && lacksNothing(message))
  if (lackNothing.length > 0) await revive(lackNothing.map(({ content }) => content))
  const { rows } = await ask<'cluster.catalog'>({ type: 'cluster.catalog' })
  const moves = rows
    .filter((row) => row.content >= 0 && row.status === 'd' && row.role === 'm')
    .map(({ content, dbid }): MirrorMove => ({ kind: 'recover', content, dbid, to: null, mode: null }))
  if (moves.length === 0) return
  const { steps } = await ask<'mirrors.plan'>({ type: 'mirrors.plan', mode, moves, look: false })
  const limits = { parallel: PARALLEL, maxRate: null, stallMs: STALL_MS }
  await ask<'mirrors.make'>({ type: 'mirrors.make', steps, mirroring: null, ...limits })
}

/** The one that has everything was never primary: its promotion was refused, because it lacks something itself. */
function lacksNothing(message: string): boolean {
  return /cannot be started: its differential copy is not complete\..* it lacks 0 transaction\(s\)/.test(
    message,
  )
}

/** The instances of content -1 as the description of the cluster has them. */
export interface Coordinators {
  acting: SegmentRow
  standby: SegmentRow | null
  /** Those that a new standby takes its place from, and the highest dbid that was ever given away. */
  readonly before: SegmentRow[]
  lastDbid: number
}

/** `mirabelle standby init`: the description names the new standby before it is made. */
export async function initStandby(ask: Ask, known: Coordinators, host: string | null): Promise<void> {
  const { row } = await ask<'standby.plan'>({
    type: 'standby.plan',
    host,
    port: null,
    datadir: null,
    aboveDbid: known.lastDbid,
    before: known.before
      .filter(({ dbid }) => dbid !== known.acting.dbid)
      .map(({ hostname, port, endpoint }) => ({ hostname, sqlPort: port, port: endpoint.port })),
  })
  known.standby = row
  known.lastDbid = Math.max(known.lastDbid, row.dbid)
  const { results } = await ask<'standby.init'>({ type: 'standby.init', row })
  if (results.some(({ outcome }) => outcome === 'failed')) known.standby = null
  else known.before.splice(0, known.before.length, known.acting, row)
}

/** `mirabelle standby remove`. */
export async function removeStandby(ask: Ask, known: Coordinators): Promise<void> {
  await ask<'standby.remove'>({ type: 'standby.remove' })
  known.standby = null
}
