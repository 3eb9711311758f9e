/**
 * Where the received WAL of a mirror ends, over all its streams: what is acknowledged, and where the next stream has to begin. Owned by the
 * walreceiver.
 */
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import { segmentStart } from '../format/constants.ts'
import type { Boundary } from './received-wal.ts'

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

  constructor(start: { readonly timeline: Timeline; readonly receivedEnd: Lsn }) {
    this.timeline = this.durableTimeline = start.timeline
    this.durable = { end: start.receivedEnd, lastRecord: undefined }
    this.flushLsn = start.receivedEnd
  }

  /** Where to begin on a timeline: at the checked end when its last record is known and the timeline is the same, else at the start of its segment. */
  beginOn(
    timeline: Timeline,
    segmentSize: number,
  ): { readonly lsn: Lsn; readonly lastRecord: Lsn | undefined } {
    const { end, lastRecord } = this.durable
    if (lastRecord !== undefined && timeline === this.timeline) return { lsn: end, lastRecord }
    return { lsn: segmentStart(end, segmentSize), lastRecord: undefined }
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
   * lost the end of its WAL and written another one. Nothing is claimed before.
   */
  isCompared(segmentSize: number): boolean {
    const { end } = this.durable
    const nothingToCompare = this.durableTimeline === this.timeline && segmentStart(end, segmentSize) === end
    return this.inOwnFiles || nothingToCompare
  }

  /** WAL up to here may be acknowledged; true when that is news. */
  acknowledge(lsn: Lsn): boolean {
    if (lsn <= this.flushLsn) return false
    this.flushLsn = lsn
    return true
  }
}
