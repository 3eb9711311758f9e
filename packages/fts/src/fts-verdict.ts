/**
 * The decision table of replication §3: what an answer of the acting primary means, given the catalog's pair. Pure; the machine asks
 * it in its guards and acts on the verdict.
 */
import type { Lsn } from '@mirabelle/messages'
import type { FtsReply } from './fts-ports.ts'
import type { Pair } from './fts-pair.ts'

/** What an answer means. */
export type Verdict =
  /** The catalog agrees. */
  | 'agrees'
  /** It acts as a mirror although the catalog calls it primary: a PROMOTE was lost. */
  | 'promote-was-lost'
  /** It is starting or promoting, and its replay advances or has not stood still for long. */
  | 'recovering'
  /** It is starting or promoting, and its replay stands still: as good as no answer. */
  | 'recovery-stalled'
  /** The mirror streams, has caught up, and commits wait for it; the catalog says `n` or `d`. */
  | 'mirror-in-sync'
  /** The mirror is back and catching up; the catalog says `d`. */
  | 'mirror-back'
  /** The catalog says `s` but the primary does not wait for its mirror: it must not be promoted. */
  | 'mirror-not-waited-for'
  /** The catalog says `s`, commits wait, but the mirror is catching up. If that lasts, the pair is recorded `n`. */
  | 'mirror-catching-up'
  /** The mirror has just gone and may come back within the grace period. */
  | 'mirror-in-grace'
  /** The mirror is gone. */
  | 'mirror-down'
  /** The mirror is recorded down, or there is none in the catalog, but the primary still waits for it. */
  | 'syncrep-off-was-lost'

/** How a recovery went so far; kept from cycle to cycle. */
export interface RecoveryProgress {
  /** The highest replay LSN seen. */
  readonly bestLsn: Lsn
  /** Monotonic ms when it last advanced, or when recovery was first seen. */
  readonly sinceMs: number
}

/** What the judgement takes into account besides the answer. */
export interface Evidence {
  readonly pair: Pair
  /** A death certificate of the mirror's process: no grace period. */
  readonly mirrorDead: boolean
  readonly recovery: RecoveryProgress | null
  readonly recoveryStallMs: number
}

/** The verdict on an answer that came at `atMs` (monotonic). */
export function judge(evidence: Evidence, reply: FtsReply, atMs: number): Verdict {
  const { pair, mirrorDead } = evidence
  if (reply.isRoleMirror) return 'promote-was-lost'
  if (reply.recovering) return recoveryAdvances(evidence, reply, atMs) ? 'recovering' : 'recovery-stalled'
  // Its mirror was taken out of the catalog, and whoever did that did not come to tell it.
  if (pair.mirror === null) return reply.isSyncRepEnabled ? 'syncrep-off-was-lost' : 'agrees'
  const recordedUp = pair.mirror.status === 'u'
  const recordedInSync = pair.mirror.mode === 's' || pair.primary.mode === 's'

  if (!reply.isMirrorUp) {
    if (reply.requestRetry && recordedUp && !mirrorDead) return 'mirror-in-grace'
    if (recordedUp || recordedInSync) return 'mirror-down'
    return reply.isSyncRepEnabled ? 'syncrep-off-was-lost' : 'agrees'
  }
  // A mirror that is certainly dead is not recorded up because its primary has not noticed yet.
  if (mirrorDead && !(recordedUp && recordedInSync)) return 'agrees'
  if (reply.isInSync && reply.isSyncRepEnabled) {
    const bothInSync = pair.mirror.mode === 's' && pair.primary.mode === 's'
    return recordedUp && bothInSync ? 'agrees' : 'mirror-in-sync'
  }
  if (recordedInSync) return reply.isSyncRepEnabled ? 'mirror-catching-up' : 'mirror-not-waited-for'
  return recordedUp ? 'agrees' : 'mirror-back'
}

/** The memory of a recovery after this answer; null once it is over. */
export function recoveryAfter(
  before: RecoveryProgress | null,
  reply: FtsReply,
  atMs: number,
): RecoveryProgress | null {
  if (!reply.recovering) return null
  if (before !== null && reply.replayLsn <= before.bestLsn) return before
  return { bestLsn: reply.replayLsn, sinceMs: atMs }
}

function recoveryAdvances({ recovery, recoveryStallMs }: Evidence, reply: FtsReply, atMs: number): boolean {
  if (recovery === null || reply.replayLsn > recovery.bestLsn) return true
  return atMs - recovery.sinceMs < recoveryStallMs
}
