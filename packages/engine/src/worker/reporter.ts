/**
 * Tells the main thread what is done: finished requests together with the WAL that they are complete within.
 *
 * One report carries both, so a request can never be reported before its WAL, nor WAL with a commit record without the
 * request. In a long run it reports WAL as it is written, and finished requests that wait behind a slow one.
 */
import type { Lsn, Timeline } from '@mirabelle/messages'
import type { ResultJournal } from '../shared/journal.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'
import type { Report, WireResult } from '../shared/worker-protocol.ts'
import type { WalCapture } from './wal-capture.ts'

/** WAL that is final is shipped out of the middle of a request from this size on, in bytes. */
const SHIP_BYTES = 256 * 1024
/** A report carries its WAL bytes while the main thread is behind by at most this much, in bytes; else it reads the files. */
const MAX_WAL_UNTAKEN = 8 * 1024 * 1024
/** Largest piece of WAL in one report (the port's limit). */
const MAX_WAL_BYTES = 1024 * 1024
/** Finished requests wait at most this long for others of their batch, in ms. */
const MAX_WAIT_MS = 2
/** Answers larger than this are reported at once, in bytes. */
const LARGE_OUTPUT_BYTES = 128 * 1024

interface Finished extends WireResult {
  readonly bytes: Uint8Array
}

export class Reporter {
  timeline: Timeline
  readonly #capture: WalCapture
  readonly #state: SharedState
  readonly #journal: ResultJournal
  readonly #post: (report: Report, transfer: readonly ArrayBuffer[]) => void
  #finished: Finished[] = []
  #oldestAt = 0
  #walPosted = 0
  #isHeld = false

  constructor(
    timeline: Timeline,
    capture: WalCapture,
    state: SharedState,
    journal: ResultJournal,
    post: (report: Report, transfer: readonly ArrayBuffer[]) => void,
  ) {
    this.timeline = timeline
    this.#capture = capture
    this.#state = state
    this.#journal = journal
    this.#post = post
  }

  /** A request is over. `output` is the reporter's from now on. */
  finished(seq: number, lsn: Lsn, status: number, output: Uint8Array, protocolError?: string): void {
    if (this.#finished.length === 0) this.#oldestAt = performance.now()
    this.#finished.push({
      seq,
      start: 0,
      end: 0,
      lsn,
      status,
      bytes: output,
      ...(protocolError === undefined ? {} : { protocolError }),
    })
    const kept = this.#journal.append(seq, lsn, status, output)
    if (!kept || output.length > LARGE_OUTPUT_BYTES) this.report()
    else this.reportIfWaiting()
  }

  /** Called from wherever PostgreSQL calls out: finished requests do not wait for a slow one behind them. */
  reportIfWaiting(): void {
    if (this.#finished.length > 0 && performance.now() - this.#oldestAt > MAX_WAIT_MS) this.report()
  }

  /** Nothing is shipped out of the middle of `work`: WAL that is final may end with a commit record, and the request that is complete with it is only being finished. */
  hold(work: () => void): void {
    this.#isHeld = true
    work()
    this.#isHeld = false
  }

  /** Called at each WAL write: ships what is final once it is enough. */
  shipIfMuch(): void {
    if (this.#isHeld) return
    const to = this.#capture.finalEnd
    if (to - this.#capture.reported < SHIP_BYTES) return
    // Requests whose WAL ends beyond `to` stay back with it.
    const ready = this.#finished.findIndex((one) => one.lsn > to)
    this.#send(to, ready === -1 ? this.#finished.length : ready, false)
  }

  /** Reports everything that is finished, and all WAL up to the newest of it. */
  report(batchDone = false): void {
    const newest = this.#finished.at(-1)
    const to = Math.max(this.#capture.reported, newest?.lsn ?? 0)
    if (newest === undefined && !batchDone) return
    this.#send(to, this.#finished.length, batchDone)
  }

  /** The backend has shut down: reports the WAL of its last checkpoint, which a mirror needs to follow an orderly stop. */
  reportLast(flush: Lsn): void {
    this.#send(Math.max(this.#capture.reported, flush), this.#finished.length, false)
  }

  #send(to: Lsn, count: number, batchDone: boolean): void {
    // A long record of WAL (one COPY whose last write is large) goes in pieces; completions go with the last.
    while (to - this.#capture.reported > MAX_WAL_BYTES)
      this.#post(...this.#message(this.#capture.reported + MAX_WAL_BYTES, [], false))
    const results = this.#finished.splice(0, count)
    this.#post(...this.#message(to, results, batchDone))
    if (this.#finished.length === 0) this.#journal.clear()
    else this.#oldestAt = performance.now()
  }

  #message(to: Lsn, finished: readonly Finished[], batchDone: boolean): [Report, ArrayBuffer[]] {
    const walStart = this.#capture.reported
    const captured = this.#capture.take(to)
    const untaken = (this.#walPosted - this.#state.get(Field.walTaken)) | 0
    const walBytes = untaken > MAX_WAL_UNTAKEN ? undefined : captured
    this.#walPosted = (this.#walPosted + captured.length) | 0
    const output = new Uint8Array(finished.reduce((sum, one) => sum + one.bytes.length, 0))
    let at = 0
    const results = finished.map(({ bytes, ...result }) => {
      output.set(bytes, at)
      const start = at
      at += bytes.length
      return { ...result, start, end: at }
    })
    const report: Report = {
      type: 'report',
      timeline: this.timeline,
      walStart,
      walEnd: to,
      walBytes,
      walWritten: this.#capture.written,
      walWrites: this.#state.get(Field.walWrites),
      results,
      output,
      batchDone,
    }
    const transfer: ArrayBuffer[] = []
    if (walBytes !== undefined && walBytes.length > 0) transfer.push(walBytes.buffer)
    if (output.length > 0) transfer.push(output.buffer)
    return [report, transfer]
  }
}
