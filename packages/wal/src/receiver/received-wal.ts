/**
 * WAL of one stream on its way to disk: checked, written, flushed, acknowledged, in this order.
 *
 * Made by the walreceiver when a stream begins; ends with `close`, or with its first problem (told once by `onProblem`). Promises: `onAcknowledged`
 * is only called with an LSN such that every record that ends at or before it has passed its CRC and is durable (I8).
 */
import { formatLsn, isMirabelleError, MirabelleError } from '@mirabelle/messages'
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { fileTimeline, timelineSpans } from '../format/history.ts'
import type { TimelineSpan } from '../format/history.ts'
import { describeProblem } from '../format/wal-record.ts'
import { WalValidator } from '../format/wal-validator.ts'
import { createWalFiles } from '../files/wal-files.ts'
import { WalWriter } from '../files/wal-writer.ts'

/** A record boundary up to which everything is checked, and the record that ends there. */
export interface Boundary {
  readonly end: Lsn
  readonly lastRecord: Lsn | undefined
}

/** What was received before a stream begins. */
export interface KeptWal {
  /** End of the last record. */
  readonly receivedEnd: Boundary
  /** The timeline in whose files that lies. */
  readonly receivedTimeline: Timeline
  /** PostgreSQL may have read up to here: beyond `receivedEnd` when a record that is not whole goes across the end of a segment. */
  readonly acknowledgedEnd: Lsn
}

export interface ReceivedWalOptions extends KeptWal {
  readonly disk: Disk
  readonly dir: string
  /** Another folder in which what was acknowledged before may lie. */
  readonly ownWal?: string | undefined
  readonly segmentSize: number
  readonly timeline: Timeline
  readonly history: readonly HistoryEntry[]
  readonly start: Lsn
  /** The last record before `start` when `start` is a checked record boundary; undefined = the start of a segment. */
  readonly lastRecord: Lsn | undefined
  readonly onAcknowledged: (lsn: Lsn) => void
  /** `badLsn` when the WAL itself is bad: where the good one ends. */
  readonly onProblem: (error: MirabelleError, badLsn?: Lsn) => void
}

interface Mark {
  /** All bytes before it were handed to the writer. */
  readonly appended: Lsn
  readonly safeEnd: Lsn
  readonly boundary: Boundary
}

/** Bytes that may wait for the disk; the sender's window is smaller. */
const MAX_QUEUED = 64 * 1024 * 1024

export class ReceivedWal {
  /** Checked and durable. */
  durable: Boundary
  readonly #options: ReceivedWalOptions
  readonly #validator: WalValidator
  readonly #writer: WalWriter
  readonly #spans: readonly TimelineSpan[]
  readonly #marks: Mark[] = []
  #ended = false

  constructor(options: ReceivedWalOptions) {
    this.#options = options
    this.#spans = timelineSpans(options.history, options.timeline)
    this.durable = options.receivedEnd
    this.#validator = new WalValidator({
      start: options.start,
      atRecord: options.lastRecord !== undefined,
      segmentSize: options.segmentSize,
      spans: this.#spans,
      ...(options.lastRecord === undefined ? {} : { prev: options.lastRecord }),
    })
    this.#writer = new WalWriter({
      disk: options.disk,
      dir: options.dir,
      segmentSize: options.segmentSize,
      start: options.start,
      protectedEnd: options.acknowledgedEnd,
      protectedTimeline: options.receivedTimeline,
      readProtected: readerOf(options),
      onSynced: (end) => this.#onSynced(end),
      onError: (error) => this.#end(error),
    })
  }

  /** LSN of the next byte. */
  get position(): Lsn {
    return this.#validator.position
  }

  get writtenEnd(): Lsn {
    return this.#writer.writtenEnd
  }

  get validEnd(): Lsn {
    return Math.max(this.#validator.validEnd, this.#options.receivedEnd.end)
  }

  /** Takes the bytes that follow. What is wrong with them comes by `onProblem`. */
  push(timeline: Timeline, start: Lsn, bytes: Uint8Array): void {
    if (this.#ended) return
    const expected = this.#validator.position
    if (start !== expected) {
      this.#end(
        new MirabelleError(
          'message.bad',
          `WAL came from ${formatLsn(start)}, expected ${formatLsn(expected)}`,
        ),
      )
      return
    }
    if (bytes.length === 0) return
    const owner = fileTimeline(this.#spans, start, this.#options.segmentSize)
    if (timeline !== owner) {
      this.#end(
        new MirabelleError(
          'message.bad',
          `WAL at ${formatLsn(start)} came for timeline ${timeline}, it belongs to ${owner}`,
        ),
      )
      return
    }
    this.#validator.push(bytes)
    const { problem, validEnd } = this.#validator
    const good = problem === undefined ? bytes : bytes.subarray(0, Math.max(0, validEnd - start))
    if (good.length > 0) {
      const boundary =
        validEnd >= this.durable.end && this.#validator.lastRecord !== undefined
          ? { end: validEnd, lastRecord: this.#validator.lastRecord }
          : this.durable
      this.#marks.push({
        appended: start + good.length,
        safeEnd: problem === undefined ? this.#validator.safeEnd : validEnd,
        boundary,
      })
      this.#writer.append(timeline, start, good)
    }
    if (problem !== undefined) {
      const error = new MirabelleError(
        'wal.corrupt',
        `WAL from the sender is bad: ${describeProblem(problem)}`,
        {
          detail: { lsn: problem.lsn, kind: problem.kind, timeline },
        },
      )
      this.#end(error, Math.max(validEnd, this.#options.start))
    } else if (this.#writer.queuedBytes > MAX_QUEUED) {
      this.#end(
        new MirabelleError('queue.full', `${this.#writer.queuedBytes} bytes of WAL wait for the disk`),
      )
    }
  }

  /** Takes no more bytes, waits for the flush of those that it has, closes the files. */
  async close(): Promise<void> {
    this.#ended = true
    await this.#writer.close()
  }

  #onSynced(end: Lsn): void {
    let safeEnd = 0
    while (this.#marks.length > 0 && (this.#marks[0] as Mark).appended <= end) {
      const mark = this.#marks.shift() as Mark
      safeEnd = mark.safeEnd
      if (mark.boundary.end > this.durable.end) this.durable = mark.boundary
      else if (mark.boundary.end === this.durable.end && this.durable.lastRecord === undefined)
        this.durable = mark.boundary
    }
    if (safeEnd > 0) this.#options.onAcknowledged(safeEnd)
  }

  #end(error: MirabelleError, badLsn?: Lsn): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.onProblem(error, badLsn)
  }
}

/** Reads what was acknowledged before, wherever it lies. */
function readerOf(options: ReceivedWalOptions): (from: Lsn, to: Lsn) => Promise<Uint8Array | undefined> {
  const { disk, dir, ownWal, segmentSize, receivedTimeline: timeline } = options
  const history = options.history.filter((entry) => entry.timeline < timeline)
  const folders = ownWal === undefined ? [dir] : [dir, ownWal]
  const files = createWalFiles({ disk, folders, segmentSize })
  return (from, to) =>
    files.read({ timeline, history, from, to }).catch((error: unknown) => {
      if (isMirabelleError(error, 'wal.removed')) return undefined
      throw error
    })
}
