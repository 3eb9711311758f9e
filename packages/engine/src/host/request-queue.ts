/**
 * The requests of a primary: those that wait, and the batches that the worker has. Decides what goes into a batch. No I/O.
 *
 * Two batches are out at a time, one running and one queued in the worker, so that the worker never idles between them.
 */
import type { EngineRequest, EngineResult } from '../engine-port.ts'
import { ANY_SETTINGS, type WireRequest } from '../shared/worker-protocol.ts'

const MAX_BATCH_REQUESTS = 64
const MAX_BATCH_BYTES = 256 * 1024
const MAX_BATCHES_OUT = 2
/** Sequence numbers are 32-bit integers in shared memory; 0 means none. */
const MAX_SEQ = 2 ** 31 - 1

/** A request and what its submitter waits for. */
export interface Pending {
  readonly request: EngineRequest
  seq: number
  readonly resolve: (result: EngineResult) => void
  readonly reject: (error: Error) => void
  /** Resolves when `onOutput` has taken everything handed out so far. */
  handedOut: Promise<void>
  done: boolean
}

export interface Batch {
  readonly requests: readonly WireRequest[]
  readonly bytes: Uint8Array<ArrayBuffer>
}

export class RequestQueue {
  #waiting: Pending[] = []
  readonly #out: Pending[][] = []
  readonly #bySeq = new Map<number, Pending>()
  #nextSeq = 1

  get size(): number {
    return this.#waiting.length + this.#bySeq.size
  }

  add(pending: Pending): void {
    this.#waiting.push(pending)
  }

  /** The next batch to send, or undefined when the worker has enough or nothing waits. */
  nextBatch(): Batch | undefined {
    if (this.#out.length >= MAX_BATCHES_OUT || this.#waiting.length === 0) return undefined
    let count = 0
    let size = 0
    for (const { request } of this.#waiting) {
      if (count > 0 && (count >= MAX_BATCH_REQUESTS || size + request.bytes.length > MAX_BATCH_BYTES)) break
      count++
      size += request.bytes.length
    }
    const taken = this.#waiting.splice(0, count)
    const bytes = new Uint8Array(size)
    let at = 0
    const requests = taken.map((pending): WireRequest => {
      const { request } = pending
      pending.seq = this.#takeSeq()
      this.#bySeq.set(pending.seq, pending)
      bytes.set(request.bytes, at)
      const start = at
      at += request.bytes.length
      return {
        seq: pending.seq,
        start,
        end: at,
        syncs: request.syncs,
        preambleSyncs: request.preambleSyncs ?? 0,
        streaming: request.onOutput !== undefined,
        inTransaction: request.inTransaction === true,
        mustSucceed: request.mustSucceed === true,
        settings: request.settings ?? ANY_SETTINGS,
        setsSettings: request.setsSettings === true,
      }
    })
    this.#out.push(taken)
    return { requests, bytes }
  }

  /** A request that the worker has. */
  outstanding(seq: number): Pending | undefined {
    return this.#bySeq.get(seq)
  }

  /** The worker has finished it. */
  finish(seq: number): Pending | undefined {
    const pending = this.#bySeq.get(seq)
    this.#bySeq.delete(seq)
    if (pending !== undefined) pending.done = true
    return pending
  }

  /** The oldest batch is done. */
  batchDone(): void {
    this.#out.shift()
  }

  /** Looks for a request by its owner's tag. */
  find(tag: number): { readonly pending: Pending; readonly sent: boolean } | undefined {
    for (const pending of this.#bySeq.values())
      if (pending.request.tag === tag) return { pending, sent: true }
    const pending = this.#waiting.find((one) => one.request.tag === tag)
    return pending === undefined ? undefined : { pending, sent: false }
  }

  /** Takes out a request that was not sent. */
  remove(pending: Pending): void {
    this.#waiting = this.#waiting.filter((one) => one !== pending)
  }

  /** The worker is gone: takes back everything that it had, in order, but for the requests whose results are known. */
  unfinished(known: ReadonlySet<number>): Pending[] {
    const back = [...this.#bySeq.values()].filter((pending) => !known.has(pending.seq))
    for (const pending of back) this.#bySeq.delete(pending.seq)
    this.#out.length = 0
    return back
  }

  /** Puts requests that were never begun in front of those that wait. */
  putInFront(requests: readonly Pending[]): void {
    this.#waiting = [...requests, ...this.#waiting]
  }

  /** What the worker has and has not finished, in order. */
  sent(): Iterable<Pending> {
    return this.#bySeq.values()
  }

  /** Takes out what was not sent. */
  takeWaiting(): Pending[] {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }

  /** Takes out everything. */
  drain(): Pending[] {
    return [...this.unfinished(new Set()), ...this.takeWaiting()]
  }

  #takeSeq(): number {
    const seq = this.#nextSeq
    this.#nextSeq = seq === MAX_SEQ ? 1 : seq + 1
    return seq
  }
}
