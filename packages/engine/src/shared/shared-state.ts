/**
 * The few numbers that the main thread and the engine's worker share without messages, because the worker is busy inside
 * PostgreSQL when they matter: cancel, back-pressure, what is fsynced, what WAL has arrived, where replay stands.
 *
 * Made by the main thread for each start of the worker. Each field has one writer, named below.
 */
import type { Lsn, Timeline } from '@mirabelle/messages'

const INT32_FIELDS = 32
const INT64_FIELDS = 8
const HEADER_BYTES = INT32_FIELDS * 4 + INT64_FIELDS * 8

/** Indexes of the 32-bit fields. */
export const Field = {
  /** Worker: counts writes to WAL files (wraps). */
  walWrites: 0,
  /** Main: the value of `walWrites` up to which WAL is fsynced. */
  walSynced: 1,
  /** Worker: sequence number of the request that runs, 0 between requests. */
  running: 2,
  /** Main: sequence number of the request to cancel, 0 for none. */
  cancel: 3,
  /** Main: 1 = begin no further request: the worker is about to be terminated. */
  halt: 4,
  /** Main: bytes of streamed output that the consumer has taken (wraps). Waited on by the worker. */
  outputTaken: 5,
  /** Main: bytes of WAL that have been received from the worker (wraps). */
  walTaken: 6,
  /** Main: changes whenever WAL arrived at a mirror, or it shall promote. Waited on by the worker. */
  walSignal: 7,
  /** Main: 1 = promote. */
  promote: 8,
  /** Main: timeline of `receivedEnd`. */
  receivedTimeline: 9,
  /** Worker: WAL writes when the running request began. */
  runningWalWrites: 10,
  /** Main: 1 = the files of received WAL hold the newest segment from its start up to `receivedEnd`: it may be replayed while it is received. */
  live: 11,
  /** Main: counts the groups of files that were synced for the worker (wraps). Waited on by the worker. */
  filesSynced: 12,
  /** Main: 1 = one of them could not be synced. */
  fileSyncFailed: 13,
} as const

const RECEIVED_END = INT32_FIELDS / 2
const REPLAY = RECEIVED_END + 1
const DURABLE = REPLAY + 1

/** Both sides' view of the shared numbers. */
export class SharedState {
  readonly buffer: SharedArrayBuffer
  readonly int32: Int32Array
  readonly #int64: BigInt64Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(HEADER_BYTES)) {
    this.buffer = buffer
    this.int32 = new Int32Array(buffer, 0, INT32_FIELDS)
    this.#int64 = new BigInt64Array(buffer)
  }

  get(field: number): number {
    return Atomics.load(this.int32, field)
  }

  set(field: number, value: number): void {
    Atomics.store(this.int32, field, value)
  }

  /** Adds with wrap-around and wakes the thread that waits on the field. */
  addAndWake(field: number, delta: number): void {
    Atomics.add(this.int32, field, delta)
    Atomics.notify(this.int32, field)
  }

  /** Blocks the calling worker until the field is no longer `seen`. */
  waitWhile(field: number, seen: number, timeoutMs = Number.POSITIVE_INFINITY): void {
    Atomics.wait(this.int32, field, seen, timeoutMs)
  }

  /** Mirror: end of the WAL in the received-WAL folder. */
  received(): { readonly timeline: Timeline; readonly end: Lsn } {
    return {
      timeline: this.get(Field.receivedTimeline),
      end: Number(Atomics.load(this.#int64, RECEIVED_END)),
    }
  }

  setReceived(timeline: Timeline, end: Lsn): void {
    Atomics.store(this.#int64, RECEIVED_END, BigInt(end))
    this.set(Field.receivedTimeline, timeline)
    this.addAndWake(Field.walSignal, 1)
  }

  replay(): Lsn {
    return Number(Atomics.load(this.#int64, REPLAY))
  }

  setReplay(lsn: bigint): void {
    Atomics.store(this.#int64, REPLAY, lsn)
  }

  /** Primary: WAL up to here is fsynced, for all that the main thread knows. */
  durable(): Lsn {
    return Number(Atomics.load(this.#int64, DURABLE))
  }

  setDurable(lsn: Lsn): void {
    Atomics.store(this.#int64, DURABLE, BigInt(lsn))
  }
}
