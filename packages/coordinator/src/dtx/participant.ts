/** One content of a distributed transaction, and the statements that every end of a transaction sends. */
import { LaneLost } from '../lanes/lane-item.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import type { Lane } from '../lanes/lane.ts'
import type { LaneRun } from '../lanes/lane-run.ts'
import type { LaneTicket } from '../lanes/lane-queue.ts'

export interface Participant {
  readonly lane: Lane
  readonly ticket: LaneTicket
  began: boolean
  /** A `touch` has ended with it: from then on it is relied upon. */
  kept: boolean
  /** Term of the lane when the transaction began there. */
  term: number
  wrote: boolean
  lost: LaneLost | undefined
}

export function newParticipant(lane: Lane, ticket: LaneTicket): Participant {
  return { lane, ticket, began: false, kept: false, term: 0, wrote: false, lost: undefined }
}

/** Sends COMMIT, right behind what the transaction has sent. The one that wrote is looked up after a failover, a reader has nothing to lose. */
export function sendCommit({ lane }: Participant, wrote: boolean): LaneRun {
  return lane.send({
    bytes: queryMessage('COMMIT'),
    syncs: 1,
    settings: undefined,
    write: wrote,
    whenLost: wrote ? 'lookup' : 'fail',
    inTransaction: true,
  })
}

/**
 * Like COMMIT it is never taken out of a queue: a segment that is behind when its coordinator goes drops what has not begun, and the COMMIT or PREPARE of whoever
 * came next would end this transaction instead of its own. Never rejects: a lane that is lost has rolled back by itself, one where it fails otherwise is opened
 * anew.
 */
export async function sendRollback({ lane }: Participant): Promise<void> {
  try {
    await lane.send({
      bytes: queryMessage('ROLLBACK'),
      syncs: 1,
      settings: undefined,
      write: false,
      whenLost: 'fail',
      inTransaction: true,
    }).promise
  } catch (error) {
    if (!(error instanceof LaneLost)) lane.reopen(`ROLLBACK did not come to its end: ${String(error)}`)
  }
}
