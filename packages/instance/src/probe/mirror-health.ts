/**
 * What a primary says of its mirror when FTS asks (replication §3). Pure. The rules are those of Greenplum's primary: the mirror is up when
 * its walsender is past its start; while it is not, FTS is asked to try again within a grace period after it went (or after
 * this primary began to accept connections), unless it has come and gone too often. One that comes back but takes in nothing has not come back.
 */
import type { Lsn, Settings } from '@mirabelle/messages'
import type { MirrorStatus } from '@mirabelle/wal'

/**
 * A mirror that was never here since this primary began is likely still starting: on a busy machine, with all of a cluster starting at
 * once, that takes longer than the grace period. One that is certainly dead is told by its agent and is not waited for.
 */
const START_GRACE_MS = 20_000

export interface HealthInput {
  readonly mirror: MirrorStatus
  /** dbid of the mirror in the assignment; null without a mirror. A stream of another instance is not this content's mirror. */
  readonly mirrorDbid: number | null
  readonly syncRep: boolean
  /** Highest LSN that anybody was told of. */
  readonly releasedLsn: Lsn
  /** Monotonic ms. */
  readonly now: number
  /** Monotonic ms when this primary began to accept connections. */
  readonly acceptingSince: number
  /** Monotonic ms since when the mirror, connected or not, makes nothing durable that answers wait for; null while it does. */
  readonly stalledSince: number | null
  readonly settings: Pick<
    Settings,
    'gp_fts_mark_mirror_down_grace_period' | 'gp_fts_replication_attempt_count'
  >
}

export interface MirrorHealth {
  readonly isMirrorUp: boolean
  readonly isInSync: boolean
  readonly requestRetry: boolean
  /** It streams: synchronous replication can be turned on without making commits wait for a long catch-up. */
  readonly readyForSyncRep: boolean
}

/** What is said of a mirror that this primary does not know. */
export const NO_MIRROR: MirrorHealth = {
  isMirrorUp: false,
  isInSync: false,
  requestRetry: false,
  readyForSyncRep: false,
}

/** The mirror's health as the probe answer has it. */
export function mirrorHealth(input: HealthInput): MirrorHealth {
  const { mirror } = input
  const ours = input.mirrorDbid !== null && mirror.dbid === input.mirrorDbid
  const working = ours && input.stalledSince === null
  const isMirrorUp = working && (mirror.state === 'catchup' || mirror.state === 'streaming')
  const streaming = working && mirror.state === 'streaming'
  return {
    isMirrorUp,
    // I2 rests on this: a mirror that lacks anything that a client was told of is never called in sync.
    isInSync: streaming && input.syncRep && mirror.flushLsn >= input.releasedLsn,
    requestRetry: !isMirrorUp && input.mirrorDbid !== null && withinGrace(input),
    readyForSyncRep: streaming,
  }
}

function withinGrace(input: HealthInput): boolean {
  if (input.mirror.attempts > input.settings.gp_fts_replication_attempt_count) return false
  const { gp_fts_mark_mirror_down_grace_period: grace } = input.settings
  const neverHere = input.mirror.dbid === 0
  const wentAt = input.stalledSince ?? input.mirror.disconnectedAt ?? 0
  const forMs = input.now - Math.max(wentAt, input.acceptingSince)
  return forMs >= 0 && forMs < (neverHere ? Math.max(grace, START_GRACE_MS) : grace)
}
