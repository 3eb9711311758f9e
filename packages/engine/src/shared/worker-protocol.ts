/** Messages between the main thread and the engine's worker. Both ends are this package: no validation, but exhaustive switches. */
import type { Lsn, Timeline } from '@mirabelle/messages'
import type { WasmModule } from '../host/postgres-wasm.ts'

/** What the worker is told first. */
export interface WorkerData {
  readonly root: string
  readonly role: 'primary' | 'mirror'
  readonly segmentBytes: number
  /** `name=value` settings for PostgreSQL. */
  readonly settings: readonly string[]
  readonly shared: SharedArrayBuffer
  readonly journal: SharedArrayBuffer
  /** PostgreSQL, compiled. */
  readonly wasm: WasmModule
  /** The fault points of this thread (worker/data-sync-faults.ts); undefined unless the process has some. */
  readonly faults: SharedArrayBuffer | undefined
}

/** One request inside a batch; its bytes are `bytes[start, end)` of the batch. */
export interface WireRequest {
  /** Number of the request in this worker's life, 1 and up. */
  readonly seq: number
  readonly start: number
  readonly end: number
  readonly syncs: number
  readonly preambleSyncs: number
  readonly streaming: boolean
  readonly inTransaction: boolean
  readonly mustSucceed: boolean
  /** See EngineRequest; `ANY_SETTINGS` when it does not care. */
  readonly settings: number
  readonly setsSettings: boolean
}

/** In place of a number of settings: whatever applies. */
export const ANY_SETTINGS = -1

export type ToWorker =
  | { readonly type: 'run'; readonly requests: readonly WireRequest[]; readonly bytes: Uint8Array }
  | { readonly type: 'stop' }

/** One finished request of a report; its output is `output[start, end)` of the report. */
export interface WireResult {
  readonly seq: number
  readonly start: number
  readonly end: number
  readonly lsn: Lsn
  /** Character code of I, T or E. */
  readonly status: number
  /** Why the request's bytes were unfit, when they were. */
  readonly protocolError?: string
}

/** New WAL and finished requests, in one message so that neither can overtake the other. */
export interface Report {
  readonly type: 'report'
  readonly timeline: Timeline
  /** New WAL is [walStart, walEnd); none when they are equal. */
  readonly walStart: Lsn
  readonly walEnd: Lsn
  readonly walBytes: Uint8Array<ArrayBuffer> | undefined
  /** WAL files hold written pages up to here (at or beyond walEnd). */
  readonly walWritten: Lsn
  /** `Field.walWrites` when the report was made: syncing the files up to `walWritten` covers these writes. */
  readonly walWrites: number
  readonly results: readonly WireResult[]
  readonly output: Uint8Array
  /** True when the batch it belongs to is done. */
  readonly batchDone: boolean
}

export type FromWorker =
  | Report
  /** Mirror: replay has begun, or waits for WAL. */
  | { readonly type: 'recovering'; readonly replay: Lsn }
  /** Open for requests (primary after start, mirror after promotion). WAL up to `lsn` is durable. */
  | { readonly type: 'ready'; readonly timeline: Timeline; readonly lsn: Lsn; readonly walWrites: number }
  | { readonly type: 'output'; readonly seq: number; readonly chunk: Uint8Array }
  /** The worker waits until these files are durable (`Field.filesSynced`). */
  | { readonly type: 'sync'; readonly paths: readonly string[] }
  | { readonly type: 'log'; readonly line: string }
  /** The backend begins to shut down. */
  | { readonly type: 'stopping' }
  /** The backend is shut down; the worker ends next. */
  | { readonly type: 'stopped' }
  /** PostgreSQL did not start. */
  | { readonly type: 'refused'; readonly message: string }
  /** The backend died while it was open. */
  | { readonly type: 'died'; readonly message: string }
