/**
 * The engine port: one PostgreSQL data directory, as the rest of Mirabelle sees it.
 *
 * Two sides exist: the real one (PGlite in a worker thread, this package) and a stand-in that speaks the same port
 * in the simulation (testkit). A native PostgreSQL server could stand behind it too. The owner is the instance actor.
 *
 * What the port promises:
 * - requests run one after the other in the order of `submit`;
 * - `onWal` is called, in LSN order and without gaps, for all WAL that a request wrote, *before* the promise of a request
 *   that is complete within that WAL resolves. A completion (`completed`) never travels later than the WAL that holds
 *   its commit record: whoever forwards the chunk as a whole can tell for each request whether it took effect;
 * - WAL reported by `onWal` is written to the files of `pg_wal`, but not durable: durability is `syncWal`.
 */
import type { Lsn, Timeline } from '@mirabelle/messages'

/** SQLSTATE of the answer to a request that did not run because the settings that it counts on do not apply. None of PostgreSQL's. */
export const SETTINGS_LACKING = 'MB001'

/** One run of PostgreSQL frontend messages (Query, or Parse/Bind/Describe/Execute/…/Sync). */
export interface EngineRequest {
  /** Frontend protocol messages, whole, ending in Query or Sync. */
  readonly bytes: Uint8Array
  /** How many ReadyForQuery answers the bytes lead to (number of Query and Sync messages). */
  readonly syncs: number
  /** How many of the first ReadyForQuery answers belong to a preamble (session settings); their output is dropped
   * unless it holds an error, in which case the rest of the request is not run and that error is the output. */
  readonly preambleSyncs?: number
  /** Opaque number of the owner, handed back in completions. Unique among the requests that are not over. */
  readonly tag: number
  /** It belongs to a transaction that an earlier request has opened. When none is open it does not run, and its answer is an ErrorResponse with
   * SQLSTATE 40001. `cancel` interrupts it but never takes it out of the queue: what comes behind it must not run without it. */
  readonly inTransaction?: boolean
  /** Requests behind it rely on its success (COMMIT PREPARED): an error of it ends the backend (`onDeath`) before anything else runs. */
  readonly mustSucceed?: boolean
  /**
   * Number of the settings under which it runs, the owner's own; 0 are those of a fresh backend. Its first part (up to its first ReadyForQuery) brings them about when
   * `setsSettings` says so. Otherwise it counts on them, and does not run outside of a transaction while others apply: what was to set them may have been cancelled or
   * have failed, and a backend that was started anew has none. Its answer is an ErrorResponse with SQLSTATE `SETTINGS_LACKING` then. Undefined: whatever applies.
   */
  readonly settings?: number
  readonly setsSettings?: boolean
  /** Takes the output in pieces as it is produced (big results). While the returned promise is pending the engine goes
   * on for at most 256 KiB: that is the back-pressure. What was handed out here is not in `EngineResult.output` again. */
  readonly onOutput?: (chunk: Uint8Array) => void | Promise<void>
}

/** What came out of one request. */
export interface EngineResult {
  readonly tag: number
  /** Backend protocol messages; the rest when `onOutput` took pieces. */
  readonly output: Uint8Array
  /** WAL flush position of PostgreSQL right after the request. */
  readonly lsn: Lsn
  /** Transaction status of the last ReadyForQuery: idle, in a transaction, failed transaction. */
  readonly txStatus: 'I' | 'T' | 'E'
  /** Grows by one with each start of the backend: prepared statements and settings of an older generation are gone. */
  readonly generation: number
}

/** A request that wrote WAL and is complete at `lsn` (part of a WalChunk). `output` when it is at most 2 KiB, or in short when it is an error; without it the request went well. */
export interface EngineCompletion {
  readonly tag: number
  readonly lsn: Lsn
  readonly output?: Uint8Array
}

/** Contiguous WAL, just written. */
export interface WalChunk {
  readonly timeline: Timeline
  readonly start: Lsn
  readonly end: Lsn
  /** The bytes [start, end), or undefined when they are too many (over 1 MiB): read them from the files. */
  readonly bytes: Uint8Array | undefined
  readonly completed: readonly EngineCompletion[]
}

/** What the engine says once it runs. */
export interface EngineStarted {
  readonly generation: number
  readonly timeline: Timeline
  /** Primary: WAL flush position. Mirror: where replay stands. */
  readonly lsn: Lsn
  /** Mirror: where replay of its base begins. Undefined where there is no base. */
  readonly baseLsn?: Lsn
}

/** A data directory's process lock is held by someone else, the directory is foreign, PostgreSQL refused to start, … see errors.ts */
export interface EnginePort {
  /** Set by the owner before `start`. */
  onWal: (chunk: WalChunk) => void
  /** The engine died by itself (PANIC, FATAL, worker crash). Nothing works after it; the instance must end or start anew. */
  onDeath: (error: Error) => void

  /**
   * Takes the lock of the data directory before anything in it is touched, and keeps it over stops until `unclaim`. Rejects with EngineLocked. Without it each start takes the lock, and
   * each stop gives it back. Absent where no other process can come.
   */
  claim?(): Promise<void>
  /** Gives the lock back when the engine is stopped, or with its stop. */
  unclaim?(): Promise<void>

  /** Takes the lock of the data directory and starts PostgreSQL as primary (crash recovery included). */
  startPrimary(): Promise<EngineStarted>
  /**
   * Takes the lock and starts continuous recovery. Restored WAL comes from the received-WAL folder (see `walArrived`), or from PostgreSQL's own
   * when it is not there. Resolves when the backend has begun to replay or to wait for WAL.
   */
  startMirror(options: { readonly timeline: Timeline; readonly receivedEnd: Lsn }): Promise<EngineStarted>
  /**
   * Mirror: WAL up to `end` on `timeline` is in the received-WAL folder, checked and durable, the segment that holds `end` from its start
   * on: it is replayed while it is received. Cheap; call it after every flush.
   */
  walArrived(timeline: Timeline, end: Lsn): void
  /** Mirror: where replay stands. Cheap (shared memory). */
  replayLsn(): Lsn
  /** Mirror: ends recovery at the end of the received WAL and opens for writing on a new timeline. */
  promote(): Promise<EngineStarted>

  /** Primary: runs protocol bytes. Rejects with EngineCancelled (57014), EngineStopped, EngineDied. */
  submit(request: EngineRequest): Promise<EngineResult>
  /** Primary: cancels the request with this tag if it is running or waiting. Ends with 57014 from PostgreSQL itself where it
   * can be interrupted, else the worker is restarted after `graceMs` and the request rejects with EngineCancelled; requests behind it run after the restart. */
  cancel(tag: number, graceMs: number): void
  /** Primary: makes all WAL written so far durable; resolves with the LSN up to which it is. Calls share one fdatasync. */
  syncWal(): Promise<Lsn>
  /** Primary: WAL flush position as of the last completed request or start. */
  flushLsn(): Lsn

  /** Ends the backend and gives the lock back. `fast` = checkpoint first (primary); `immediate` = just end. */
  stop(mode: 'fast' | 'immediate'): Promise<void>
}
