/**
 * Turns the worker's reports into what the port promises: `onWal` in LSN order without gaps, then the results of the requests
 * that are complete within that WAL.
 */
import type { Lsn, Timeline } from '@mirabelle/messages'
import type { EngineCompletion, EngineResult, WalChunk } from '../engine-port.ts'
import { EngineProtocolError } from '../errors.ts'
import type { JournalRecord } from '../shared/journal.ts'
import type { Report, WireResult } from '../shared/worker-protocol.ts'
import type { RequestQueue } from './request-queue.ts'
import { toldOutput } from './told-output.ts'

export class Completions {
  generation = 0
  readonly #queue: RequestQueue
  readonly #onWal: (chunk: WalChunk) => void
  /** WAL before this was handed to `onWal`. */
  #reported: Lsn = 0
  /** LSN of the last finished request: a request whose LSN is higher wrote WAL. */
  #lastLsn: Lsn = 0

  constructor(queue: RequestQueue, onWal: (chunk: WalChunk) => void) {
    this.#queue = queue
    this.#onWal = onWal
  }

  get flushLsn(): Lsn {
    return this.#lastLsn
  }

  /** The backend is open for the first time: reporting begins at `lsn`. */
  begin(lsn: Lsn): void {
    this.#reported = lsn
    this.#lastLsn = lsn
  }

  /** A report of the worker. */
  report(report: Report): void {
    const results = report.results.map((result) => ({
      result,
      output: report.output.subarray(result.start, result.end),
    }))
    this.#handOut(report.timeline, report.walEnd, report.walBytes, results, this.generation)
  }

  /** The backend was restarted: WAL up to `lsn` that was never reported, and the requests that had finished within it. */
  restarted(timeline: Timeline, lsn: Lsn, records: readonly JournalRecord[]): void {
    const results = records.map(({ output, ...record }) => ({
      result: { ...record, start: 0, end: output.length },
      output,
    }))
    // They ran on the backend that is gone.
    this.#handOut(timeline, Math.max(lsn, this.#reported), undefined, results, this.generation - 1)
    this.#lastLsn = Math.max(lsn, this.#lastLsn)
  }

  #handOut(
    timeline: Timeline,
    end: Lsn,
    bytes: Uint8Array | undefined,
    results: readonly { result: WireResult; output: Uint8Array }[],
    generation: number,
  ): void {
    const completed: EngineCompletion[] = []
    for (const { result, output } of results) {
      const pending = this.#queue.outstanding(result.seq)
      if (pending === undefined) continue
      const wrote = result.lsn > this.#lastLsn
      this.#lastLsn = Math.max(this.#lastLsn, result.lsn)
      // What wrote nothing has no effect that a failover could take back or not.
      if (!wrote) continue
      const told = toldOutput(output)
      completed.push({
        tag: pending.request.tag,
        lsn: result.lsn,
        ...(told === undefined ? {} : { output: told }),
      })
    }
    if (end > this.#reported) {
      const start = this.#reported
      this.#reported = end
      this.#onWal({ timeline, start, end, bytes, completed })
    }
    for (const { result, output } of results) this.#settle(result, output, generation)
  }

  #settle(result: WireResult, output: Uint8Array, generation: number): void {
    const pending = this.#queue.finish(result.seq)
    if (pending === undefined) return
    if (result.protocolError !== undefined) {
      pending.reject(new EngineProtocolError(`request ${pending.request.tag}: ${result.protocolError}`))
      return
    }
    const answer: EngineResult = {
      tag: pending.request.tag,
      output,
      lsn: result.lsn,
      txStatus: String.fromCharCode(result.status) as EngineResult['txStatus'],
      generation,
    }
    if (pending.request.onOutput === undefined) pending.resolve(answer)
    else pending.handedOut.then(() => pending.resolve(answer), pending.reject)
  }
}
