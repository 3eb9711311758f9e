/**
 * PGlite's Node file system with what it lacks: fsync, the order "WAL before data", and a view of every WAL write.
 *
 * Lives as long as one start of the backend. While PostgreSQL starts or recovers (`phase` 'recovery') files are synced in groups, before the
 * control file names another checkpoint and before the backend opens (late-syncs.ts).
 * Once it is open ('open') fsyncs of WAL segment files are left to the main thread, which does them in groups; everything
 * else that is fsynced is fsynced here, after the WAL, and nothing is written, cut off or deleted before it.
 */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import { NodeFS } from '@electric-sql/pglite/nodefs'
import type { PGlite } from '@electric-sql/pglite'
import { checkpointIn } from '../control-file.ts'
import { BLOCK_BYTES, parseSegmentName, type InstancePaths } from '../layout.ts'
import type { LateSyncs } from './late-syncs.ts'
import type { FsStream, PostgresModule } from './postgres-module.ts'
import { FsyncFailed, type WalGuard } from './wal-guard.ts'

/** What happens in the file system, for whoever is interested. All are called on the engine thread, inside PostgreSQL. */
export interface FsObserver {
  /** WAL was written to a segment file (only while open). */
  walWritten(lsn: number, timeline: number, bytes: Uint8Array): void
  /** A WAL segment file is about to be read (only during recovery). May wait. */
  walWanted(name: string, position: number, length: number): void
  /** A WAL file was read. */
  walRead(): void
  /** Any other file was read or written. Data files are never touched while PostgreSQL is in the middle of writing WAL. */
  dataTouched(): void
  /** A sync of the file failed: the engine must not go on. Does not return. */
  syncFailed(error: FsyncFailed): never
}

/** What kind of file a path is, as far as durability goes. */
type FileKind =
  | { readonly kind: 'pages' | 'data' | 'temporary' | 'control' | 'other-wal' | 'new-segment' | 'wal-folder' }
  | { readonly kind: 'segment'; readonly name: string; readonly timeline: number; readonly start: number }

/** Bits of a mode for group and others. */
const OTHERS = 0o077

/** A relation: each of its pages begins with the LSN of the last change to it. */
const PAGES: FileKind = { kind: 'pages' }
const DATA: FileKind = { kind: 'data' }
/** Of a temporary table, a sort, a hash: nobody reads it after a crash. */
const TEMPORARY: FileKind = { kind: 'temporary' }
const RELATION = /^(?:base\/\d+|global)\/\d+(?:_[a-z]+)?(?:\.\d+)?$/
const TEMPORARY_FILE = /^base\/(?:\d+\/t\d+_\d+|pgsql_tmp\/)/
/** pg_control: what it says is true only when everything before it is durable. */
const CONTROL: FileKind = { kind: 'control' }
const OTHER_WAL: FileKind = { kind: 'other-wal' }
/** A segment file that is being filled with zeros under a temporary name; it is fsynced when WAL is in it. */
const NEW_SEGMENT: FileKind = { kind: 'new-segment' }
const WAL_FOLDER: FileKind = { kind: 'wal-folder' }

export class DurableFs extends NodeFS {
  /** Changed by `opened`. */
  phase: 'recovery' | 'open' = 'recovery'
  /** Called once the WebAssembly runtime is there, before PostgreSQL starts. */
  onRuntime: (module: PostgresModule) => void = () => undefined
  readonly #paths: InstancePaths
  readonly #segmentBytes: number
  readonly #guard: WalGuard
  readonly #observer: FsObserver
  readonly #late: LateSyncs
  readonly #dataSync: ((when: 'before' | 'after') => void) | undefined
  readonly #kinds = new WeakMap<object, { path: string; kind: FileKind }>()
  #nodeFs: PostgresModule['NODEFS'] | undefined
  /** Files that PostgreSQL has synced, and that are synced later. */
  readonly #putOff = new Set<string>()
  #folderChanged = false
  #allNoted = false
  /** The checkpoint that the control file names. */
  #checkpoint: bigint | undefined
  /** The last write of the control file named another one than the write before. */
  #checkpointMoved = false

  constructor(
    paths: InstancePaths,
    segmentBytes: number,
    guard: WalGuard,
    late: LateSyncs,
    observer: FsObserver,
    dataSync?: (when: 'before' | 'after') => void,
  ) {
    super(paths.pgdata)
    this.#paths = paths
    this.#segmentBytes = segmentBytes
    this.#guard = guard
    this.#late = late
    this.#observer = observer
    this.#dataSync = dataSync
  }

  /** Everything written so far is durable from here on, and WAL is the main thread's to sync. */
  opened(): void {
    this.#orFail(() => this.#late.finish())
    this.phase = 'open'
  }

  override async init(pg: PGlite, options: Parameters<NodeFS['init']>[1]): ReturnType<NodeFS['init']> {
    const { emscriptenOpts } = await super.init(pg, options)
    const hook = (mod: object): void => this.#install(mod as PostgresModule)
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [...(emscriptenOpts.preRun ?? []), hook] } }
  }

  #install(module: PostgresModule): void {
    const nodeFs = module.NODEFS
    this.#nodeFs = nodeFs
    const { read, write } = nodeFs.stream_ops
    nodeFs.stream_ops.read = (stream, heap, offset, length, position) => {
      const file = this.#kindOf(stream)
      if (file.kind === 'segment' && this.phase === 'recovery')
        this.#observer.walWanted(file.name, position, length)
      const got = read(stream, heap, offset, length, position)
      if (isData(file)) this.#observer.dataTouched()
      else this.#observer.walRead()
      return got
    }
    nodeFs.stream_ops.write = (stream, heap, offset, length, position) =>
      this.#write(write, stream, heap, offset, length, position)
    nodeFs.stream_ops.fsync = (stream) => this.#fsync(stream)
    const { setattr, unlink, rename, readdir } = nodeFs.node_ops
    nodeFs.node_ops.setattr = (node, attributes) => {
      if (typeof attributes.size === 'number') this.#beforeLoss(nodeFs.realPath(node))
      const { mode } = attributes
      // The C library gives each new file its mode by name, with a umask of its own: the process's does not count.
      setattr(node, typeof mode === 'number' ? { ...attributes, mode: mode & ~OTHERS } : attributes)
    }
    const { setattr: setattrOpen } = nodeFs.stream_ops
    nodeFs.stream_ops.setattr = (stream, attributes) => {
      if (typeof attributes.size === 'number') this.#beforeLoss(this.#pathOf(stream))
      setattrOpen(stream, attributes)
    }
    nodeFs.node_ops.unlink = (folder, name) => {
      this.#beforeLoss(join(nodeFs.realPath(folder), name))
      unlink(folder, name)
    }
    nodeFs.node_ops.rename = (node, folder, name) => {
      this.#beforeRename(nodeFs.realPath(node))
      rename(node, folder, name)
    }
    nodeFs.node_ops.readdir = (node) => {
      if (this.phase !== 'recovery' || nodeFs.realPath(node) !== this.#paths.pgdata) return readdir(node)
      this.#noteAll()
      return []
    }
    const initialized = module.onRuntimeInitialized
    module.onRuntimeInitialized = () => {
      initialized()
      this.onRuntime(module)
    }
  }

  #write(
    write: PostgresModule['NODEFS']['stream_ops']['write'],
    stream: FsStream,
    heap: Int8Array,
    offset: number,
    length: number,
    position: number,
  ): number {
    const file = this.#kindOf(stream)
    if (this.phase === 'recovery') {
      if (file.kind === 'control') this.#beforeControlFile(heap, offset, length, position)
      return write(stream, heap, offset, length, position)
    }
    switch (file.kind) {
      case 'segment': {
        this.#guard.beforeWalWrite(file.name, file.start + position + length)
        const written = write(stream, heap, offset, length, position)
        const bytes = new Uint8Array(heap.buffer, heap.byteOffset + offset, written)
        this.#observer.walWritten(file.start + position, file.timeline, bytes)
        return written
      }
      case 'other-wal':
      case 'new-segment':
      case 'wal-folder':
        return write(stream, heap, offset, length, position)
      case 'temporary':
      case 'pages':
      case 'control':
      case 'data': {
        if (file.kind === 'pages') this.#ensureWal(newestLsn(heap, offset, length))
        else if (file.kind !== 'temporary') this.#ensureWal()
        const written = write(stream, heap, offset, length, position)
        this.#observer.dataTouched()
        return written
      }
    }
  }

  /** A file is about to be cut off or deleted, which is as good as a write: PostgreSQL has flushed the WAL that says so, as far as it knows. */
  #beforeLoss(path: string): void {
    if (this.phase === 'recovery') return
    const { kind } = this.#classify(path)
    if (kind === 'pages' || kind === 'data' || kind === 'control') this.#ensureWal()
  }

  /** A file whose sync was put off gets its name: it must not be there without its content. Segments of WAL are empty, or come again. */
  #beforeRename(path: string): void {
    if (!this.#putOff.delete(path) || statSync(path).size >= this.#segmentBytes) return
    this.#syncNow(path)
  }

  #fsync(stream: FsStream): number {
    const file = this.#kindOf(stream)
    if (this.phase === 'open') {
      if (file.kind === 'segment' || file.kind === 'new-segment') return 0
      // The main thread fsyncs the folder with the first WAL in a new segment; only history files need it here.
      if (file.kind === 'wal-folder' && !this.#folderChanged) return 0
      this.#folderChanged = file.kind === 'other-wal'
      this.#ensureWal()
    }
    const path = this.#pathOf(stream)
    if (this.phase === 'recovery' && !(file.kind === 'control' && this.#checkpointMoved)) {
      this.#putOff.add(path)
      this.#orFail(() => this.#late.add(path))
    } else this.#syncNow(path, stream.nfd)
    return 0
  }

  #syncNow(path: string, fd?: number): void {
    try {
      this.#dataSync?.('before')
      if (fd === undefined) {
        const own = openSync(path, 'r')
        try {
          fsyncSync(own)
        } finally {
          closeSync(own)
        }
      } else fsyncSync(fd)
      this.#dataSync?.('after')
    } catch (error) {
      this.#observer.syncFailed(new FsyncFailed(path, error))
    }
  }

  /** Only where recovery would begin matters; its other words (in recovery, shutting down, in production) take nothing for granted. */
  #beforeControlFile(heap: Int8Array, offset: number, length: number, position: number): void {
    const written = new Uint8Array(heap.buffer, heap.byteOffset + offset, length)
    const next = position === 0 ? checkpointIn(written) : undefined
    this.#checkpoint ??= checkpointIn(readFileSync(this.#paths.controlFile))
    this.#checkpointMoved = next === undefined || next !== this.#checkpoint
    this.#checkpoint = next
    if (this.#checkpointMoved) this.#orFail(() => this.#late.beforeCheckpoint())
  }

  /**
   * PostgreSQL lists its folder for one purpose: to sync all that is in it, when it starts after a crash. For that it opens and closes each of some thousand files twice,
   * which takes 150 ms through this file system. So it finds nothing there, and all is noted here.
   */
  #noteAll(): void {
    if (this.#allNoted) return
    this.#allNoted = true
    const { pgdata, pgWal } = this.#paths
    const note = (path: string): void => this.#orFail(() => this.#late.add(path))
    const noteBelow = (folder: string): void => {
      note(folder)
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
        if (entry.isFile() || entry.isDirectory()) note(join(entry.parentPath, entry.name))
    }
    noteBelow(pgWal)
    this.#orFail(() => this.#late.beforeReplay())
    noteBelow(pgdata)
  }

  #ensureWal(upTo?: number): void {
    this.#orFail(() => this.#guard.ensureDurable(upTo))
  }

  #orFail(sync: () => void): void {
    try {
      sync()
    } catch (error) {
      if (error instanceof FsyncFailed) this.#observer.syncFailed(error)
      throw error
    }
  }

  #pathOf(stream: FsStream): string {
    return (this.#nodeFs as PostgresModule['NODEFS']).realPath(stream.node)
  }

  /** Files are renamed (a new segment is made under a temporary name), so the answer is kept per node and name. */
  #kindOf(stream: FsStream): FileKind {
    const node = stream.node as { name: string }
    const known = this.#kinds.get(node)
    if (known !== undefined && known.path === node.name) return known.kind
    const kind = this.#classify(this.#pathOf(stream))
    this.#kinds.set(node, { path: node.name, kind })
    return kind
  }

  #classify(path: string): FileKind {
    if (path === this.#paths.pgWal) return WAL_FOLDER
    if (path === this.#paths.controlFile) return CONTROL
    const prefix = this.#paths.pgWal + sep
    if (!path.startsWith(prefix)) {
      const below = path.slice(this.#paths.pgdata.length + 1).replaceAll(sep, '/')
      return RELATION.test(below) ? PAGES : TEMPORARY_FILE.test(below) ? TEMPORARY : DATA
    }
    const name = path.slice(prefix.length)
    if (name.startsWith('xlogtemp.')) return NEW_SEGMENT
    const segment = parseSegmentName(name, this.#segmentBytes)
    return segment === undefined ? OTHER_WAL : { kind: 'segment', name, ...segment }
  }
}

function isData({ kind }: FileKind): boolean {
  return kind === 'pages' || kind === 'data' || kind === 'temporary' || kind === 'control'
}

/** The newest LSN of whole pages; undefined when they are not whole. Pages of zeros, and such of which no WAL is written, have an old one. */
function newestLsn(heap: Int8Array, offset: number, length: number): number | undefined {
  if (length % BLOCK_BYTES !== 0) return undefined
  const view = new DataView(heap.buffer, heap.byteOffset + offset, length)
  let newest = 0
  for (let at = 0; at < length; at += BLOCK_BYTES) {
    // Two halves, the upper one first.
    newest = Math.max(newest, view.getUint32(at, true) * 2 ** 32 + view.getUint32(at + 4, true))
  }
  return newest
}
