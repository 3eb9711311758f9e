/** Whether a walreceiver may go on from where it is: decided the same way by both sides, the receiver before it asks and the sender before it answers. */
import { formatLsn, MirabelleError } from '@mirabelle/messages'
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import { forkPoint } from '../format/history.ts'

/** Where a receiver stands and what it asks for. */
export interface StartWish {
  readonly timeline: Timeline
  /** End of its checked WAL. */
  readonly receivedEnd: Lsn
  /** First byte that it wants. */
  readonly startLsn: Lsn
}

/** Where a sender stands. */
export interface SenderStand {
  readonly timeline: Timeline
  readonly history: readonly HistoryEntry[]
  readonly endLsn: Lsn
  readonly oldestLsn: Lsn
}

/** undefined when streaming can begin; else the refusal: `wal.ahead`, `wal.diverged` or `wal.removed`. */
export function judgeStart(wish: StartWish, sender: SenderStand): MirabelleError | undefined {
  const { timeline, receivedEnd, startLsn } = wish
  const mine = `the receiver has timeline ${timeline} up to ${formatLsn(receivedEnd)}`
  if (timeline > sender.timeline)
    return new MirabelleError(
      'wal.ahead',
      `${mine}, the sender is on the older timeline ${sender.timeline}`,
      {
        detail: { timeline: sender.timeline, fork: sender.endLsn, end: receivedEnd },
      },
    )
  const fork = timeline === sender.timeline ? Infinity : forkPoint(sender.history, timeline)
  if (fork === undefined)
    return new MirabelleError(
      'wal.diverged',
      `${mine}, which is no ancestor of the sender's timeline ${sender.timeline}`,
      { detail: { timeline: sender.timeline, fork: 0, end: receivedEnd } },
    )
  if (receivedEnd > fork)
    return new MirabelleError(
      'wal.diverged',
      `${mine}, but the sender's timeline ${sender.timeline} left it at ${formatLsn(fork)}`,
      { detail: { timeline: sender.timeline, fork, end: receivedEnd } },
    )
  if (Math.max(receivedEnd, startLsn) > sender.endLsn)
    return new MirabelleError('wal.ahead', `${mine}, the sender only to ${formatLsn(sender.endLsn)}`, {
      detail: { timeline: sender.timeline, fork: sender.endLsn, end: receivedEnd },
    })
  if (startLsn < sender.oldestLsn)
    return new MirabelleError(
      'wal.removed',
      `${mine} and needs WAL from ${formatLsn(startLsn)}, the sender's begins at ${formatLsn(sender.oldestLsn)}`,
      { detail: { startLsn, oldestLsn: sender.oldestLsn } },
    )
  return undefined
}
