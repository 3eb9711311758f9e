/** An item under way, and what becomes of it when its backend was lost and another one stands. Pure. */
import { SETTINGS_LACKING } from '@mirabelle/engine'
import { MirabelleError, type Content, type SettledEntry } from '@mirabelle/messages'
import { errorResponse, readyForQuery } from '@mirabelle/pgwire'
import { firstErrorCode, startsWithError, withoutPreparation } from './backend-bytes.ts'
import { undone } from '../dtx/undone.ts'
import { LaneLost, type LaneItem, type LaneResult } from './lane-item.ts'

const UNDEFINED_STATEMENT = '26000'
/** The number of what has not been sent on the line of the moment: nobody has it, and no floor is above it. */
export const UNSENT = Number.MAX_SAFE_INTEGER

export interface Sent {
  readonly item: LaneItem
  readonly resolve: (result: LaneResult) => void
  readonly reject: (error: Error) => void
  seq: number
  /** When it was sent last, monotonic ms. */
  at: number
  prepares: string | undefined
  /** It counts on settings that were sent before it. */
  needsSettings: boolean
  /** A piece of its answer has gone out: it cannot run again unnoticed. */
  streamed: boolean
  /** A cancel came: it does not run again. */
  cancelled: boolean
  /** It has ended for who waited for it, before its backend said so. */
  over: boolean
}

export function sentOf(item: LaneItem, resolve: Sent['resolve'], reject: Sent['reject']): Sent {
  return {
    item,
    resolve,
    reject,
    seq: 0,
    at: 0,
    prepares: undefined,
    needsSettings: false,
    streamed: false,
    cancelled: false,
    over: false,
  }
}

/** It changes nothing, by itself and for others: whether it has run does not matter. */
export function isRead({ item }: Sent): boolean {
  return !item.write && item.whenLost !== 'fail'
}

/**
 * The backend was started anew under an open line (a statement had to be cancelled that way): this one counted on being prepared there, and did not
 * run.
 */
export function lacksStatement({ item, prepares }: Sent, output: Uint8Array): boolean {
  if (item.statement === undefined || prepares !== undefined || !startsWithError(output)) return false
  return firstErrorCode(output) === UNDEFINED_STATEMENT
}

/**
 * It did not run: the settings that it counted on were to come with a statement that was cancelled or has failed, or PostgreSQL was started anew, or the segment
 * has done something of its own meanwhile.
 */
export function lacksSettings({ needsSettings }: Sent, output: Uint8Array): boolean {
  return needsSettings && startsWithError(output) && firstErrorCode(output) === SETTINGS_LACKING
}

/**
 * Settings that were sent may be undone with it: a SET that was part of a failed or rolled back (sub)transaction is, and items without settings of their own are the control
 * statements of transactions; so is one whose own settings may be what has failed.
 */
export function mayUndoSettings(
  { item }: Sent,
  txStatus: LaneResult['txStatus'],
  output: Uint8Array,
): boolean {
  if (txStatus === 'E' || (item.whenLost === 'fail' && item.settings === undefined)) return true
  return item.settings !== undefined && item.settings.key !== '' && firstErrorCode(output) !== undefined
}

/** Why one that did not run does not run now by itself; undefined when it can, and its client notices nothing. `behind`: what was sent after it. */
export function staysBack(
  content: Content,
  { item, cancelled }: Sent,
  behind: readonly Sent[],
): Error | undefined {
  const why = 'the segment had lost its session'
  if (cancelled) return cancelledByUser()
  if (item.atOneMoment === true) return new LaneLost(content, 'no', why)
  const begins = item.lead !== undefined && item.whenLost === 'fail'
  const isFollowed = begins && behind.some((one) => one.item.inTransaction === true)
  return isFollowed ? undone(`${why}: the transaction has not begun`) : undefined
}

/** What one that lacks its statement is answered when it has begun a transaction in front of it, which has failed. */
export const BEGUN_IN_VAIN: Uint8Array = Buffer.concat([
  errorResponse({
    code: '40001',
    message: 'the segment had lost its session: the transaction has not begun',
    hint: 'Run the transaction again.',
  }),
  readyForQuery('E'),
])

export function cancelledByUser(): MirabelleError {
  return new MirabelleError('cancelled', 'canceling statement due to user request')
}

/** Lets go who waits for a cancelled item: a segment that hangs does not hear the cancel. What was answered meanwhile stays so. */
export function endUnheard(sent: Sent): void {
  sent.over = true
  sent.reject(cancelledByUser())
}

/** For the log line of a failover. */
export type FateCounts = Record<'answered' | 'again' | 'unknown' | 'ended', number>

/** Answer, or error, or neither: then it runs again. */
export interface Fate {
  readonly counted: keyof FateCounts
  readonly answer?: LaneResult
  readonly error?: Error
}

/**
 * Decides by what the new backend knows of statements that took effect: `entry` for this one, `floor` below which nothing is known.
 * A write runs again only when it is known not to have taken effect.
 */
export function fateOf(content: Content, sent: Sent, entry: SettledEntry | undefined, floor: number): Fate {
  if (entry !== undefined) {
    const [, lsn, kept] = entry
    if (kept === null) {
      const why = 'the statement took effect but its answer was lost in a failover'
      return { counted: 'answered', error: new LaneLost(content, 'yes', why) }
    }
    const output = sent.prepares === undefined ? kept : withoutPreparation(kept).output
    return { counted: 'answered', answer: { output, lsn, txStatus: 'I' } }
  }
  if (sent.item.write && sent.seq < floor) {
    const why = 'the outcome of the statement was lost in a failover'
    return { counted: 'unknown', error: new LaneLost(content, 'unknown', why) }
  }
  if (sent.cancelled) return { counted: 'ended', error: cancelledByUser() }
  if (sent.item.whenLost === 'rerun' && !sent.streamed) return { counted: 'again' }
  const why = 'the statement did not take effect before the failover'
  return { counted: 'ended', error: new LaneLost(content, 'no', why) }
}
