/**
 * Where the received WAL of a mirror ends, over all its streams: what is acknowledged, and where the next stream has to begin. Owned by the
 * walreceiver.
 */
import { MirabelleError } from '@mirabelle/messages'
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import { segmentStart } from '../format/constants.ts'
import type { Boundary, KeptWal } from './received-wal.ts'

/** First byte of a stream; the record before it when it is known to end there. */
export interface StreamBegin {
  readonly lsn: Lsn
  readonly lastRecord: Lsn | undefined
}

export class ReceivedEnd {
  /** The timeline that is received. */
  timeline: Timeline
  /** Its ancestors, once a sender told them. */
  history: readonly HistoryEntry[] = []
  /** End of the last record that is checked and durable; its start when it is known. */
  durable: Boundary
  /** The timeline in whose files that end lies: an older one until the first segment of `timeline` was received as far. */
  durableTimeline: Timeline
  /** Acknowledged. */
  flushLsn: Lsn
  /** Where the stream begins that is asked for, or under way. */
  begin: StreamBegin = { lsn: 0, lastRecord: undefined }

  constructor(start: { readonly timeline: Timeline; readonly receivedEnd: Lsn }) {
    this.timeline = this.durableTimeline = start.timeline
    this.durable = { end: start.receivedEnd, lastRecord: undefined }
    this.flushLsn = start.receivedEnd
  }

  /**
   * Where to begin on a timeline: at the checked end when its last record is known and the timeline is the same, else at the start of its segment, or of the
   * one before when that ends there and the sender, whose WAL begins at `oldestLsn`, still has it: so there is always something to compare.
   */
  beginOn(timeline: Timeline, segmentSize: number, oldestLsn: Lsn): StreamBegin {
    const { end, lastRecord } = this.durable
    if (lastRecord !== undefined && timeline === this.timeline) this.begin = { lsn: end, lastRecord }
    else {
      const lsn = segmentStart(end, segmentSize)
      const before = lsn - segmentSize
      this.begin = {
        lsn: lsn === end && before >= Math.max(0, oldestLsn) ? before : lsn,
        lastRecord: undefined,
      }
    }
    return this.begin
  }

  /** What a failure of the stream means: that the sender has removed WAL which was only wanted for the comparison is no loss, it is asked again. */
  meaningOf(error: MirabelleError, segmentSize: number): MirabelleError {
    const isNeeded = this.begin.lsn >= segmentStart(this.durable.end, segmentSize)
    if (error.code !== 'wal.removed' || isNeeded) return error
    return new MirabelleError('connection.lost', 'WAL that was to be compared is gone', { cause: error })
  }

  /**
   * A new connection: whoever sends now may have been restarted since, without the end of its WAL. The segment of the end is compared once more before anything that
   * follows is taken: other records of the same lengths would not show.
   */
  compareAnew(): void {
    this.durable = { end: this.durable.end, lastRecord: undefined }
  }

  /** A stream begins. True when it is on a new timeline: its first segment is written anew from its start, up to the end that was received before. */
  follow(timeline: Timeline, history: readonly HistoryEntry[]): boolean {
    this.history = history
    if (timeline === this.timeline) return false
    this.timeline = timeline
    this.durable = { end: this.durable.end, lastRecord: undefined }
    return true
  }

  /** A stream has made more durable; with a known last record it reaches (or is beyond) the end that was received before. */
  keep(durable: Boundary): void {
    if (durable.end < this.durable.end || durable.lastRecord === undefined) return
    this.durable = durable
    this.durableTimeline = this.timeline
  }

  /** True when the files of `timeline` hold the segment of the durable end from its start on. */
  get inOwnFiles(): boolean {
    return this.durable.lastRecord !== undefined && this.durableTimeline === this.timeline
  }

  /**
   * What is there has been compared with what the sender has, in the segment where the two can differ: on a new timeline, and where a sender that was restarted has
   * lost the end of its WAL and written another one. Nothing is claimed before, unless the sender has nothing left to compare with: what it has removed
   * it has kept until a checkpoint that came after it.
   */
  get isCompared(): boolean {
    const { lsn, lastRecord } = this.begin
    const isAtEnd = lsn === this.durable.end && lastRecord === undefined
    const nothingToCompare = this.durableTimeline === this.timeline && isAtEnd
    return this.inOwnFiles || nothingToCompare
  }

  /** What a stream finds here. */
  get kept(): KeptWal {
    return {
      receivedEnd: this.durable,
      receivedTimeline: this.durableTimeline,
      acknowledgedEnd: this.flushLsn,
    }
  }

  /**
   * What may be said to the sender by a stream that has written up to `writtenEnd`: no more than that, or than what it was begun with. What an earlier stream has acknowledged of a record
   * that was not whole is more, and this sender knows nothing of it.
   */
  said(writtenEnd: Lsn): { readonly writeLsn: Lsn; readonly flushLsn: Lsn } {
    const writeLsn = Math.max(this.durable.end, writtenEnd)
    return { writeLsn, flushLsn: this.isCompared ? Math.min(this.flushLsn, writeLsn) : 0 }
  }

  /** WAL up to here may be acknowledged; true when that is news. */
  acknowledge(lsn: Lsn): boolean {
    if (lsn <= this.flushLsn) return false
    this.flushLsn = lsn
    return true
  }
}
