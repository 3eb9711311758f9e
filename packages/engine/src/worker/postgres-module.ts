/** The parts of PGlite's WebAssembly module that the worker uses. PGlite types only some of them. */
import type { PGlite } from '@electric-sql/pglite'

/** An open file of the emscripten file system, backed by a real one. */
export interface FsStream {
  /** File descriptor in this process; undefined for a directory. */
  readonly nfd?: number
  readonly node: object
}

/** What is to become of a file. */
export interface FileAttributes {
  readonly mode?: number | null
  /** Cut off, or lengthened with zeros. */
  readonly size?: number | null
}

/** NODEFS, emscripten's file system over the host's. */
export interface NodeFsBackend {
  realPath(node: object): string
  readonly node_ops: {
    setattr(node: object, attributes: FileAttributes): void
    unlink(folder: object, name: string): void
    rename(node: object, folder: object, name: string): void
    readdir(node: object): string[]
  }
  readonly stream_ops: {
    read(stream: FsStream, heap: Int8Array, offset: number, length: number, position: number): number
    write(stream: FsStream, heap: Int8Array, offset: number, length: number, position: number): number
    setattr(stream: FsStream, attributes: FileAttributes): void
    fsync?: (stream: FsStream) => number
  }
}

/** The module. Names with an underscore are PostgreSQL's own functions and variables. */
export interface PostgresModule {
  readonly HEAPU8: Uint8Array
  readonly NODEFS: NodeFsBackend
  readonly FS: { readonly ErrnoError: new (errno: number) => Error }
  onRuntimeInitialized: () => void
  addFunction(fn: (a: number, b: number) => number, signature: string): number
  UTF8ToString(pointer: number): string
  stackSave(): number
  stackRestore(pointer: number): void
  _pgl_set_system_fn(fn: number): void
  _pgl_set_rw_cbs(read: number, write: number): void
  _pgl_pq_flush(): void
  _PostgresMainLoopOnce(): void
  _PostgresMainLongJmp(): void
  _PostgresSendReadyForQueryIfNecessary(): void
  _pq_buffer_remaining_data(): number
  _GetSessionUserId(): number
  _GetUserId(): number
  _SetUserIdAndSecContext(user: number, context: number): void
  _GetFlushRecPtr(timeline: number): bigint
  _XLogBeginInsert(): void
  /** Returns where the record ends. */
  _XLogInsert(resourceManager: number, info: number): bigint
  _XLogFlush(lsn: bigint): void
  _GetXLogReplayRecPtr(timeline: number): bigint
  /** Addresses of PostgreSQL's counters of WAL, of which the first is that of records, and of its flags. */
  readonly _pgWalUsage: number
  readonly _InterruptPending: number
  readonly _QueryCancelPending: number
}

/** The module of a started PGlite. */
export function moduleOf(pg: PGlite): PostgresModule {
  return pg.Module as unknown as PostgresModule
}
