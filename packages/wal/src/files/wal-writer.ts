/**
 * Writes received WAL into ordinary segment files, in order, and makes it durable in groups.
 *
 * Made by the walreceiver for one stream; ends with `close` or at its first disk error. Promises:
 * - bytes below `protectedEnd` are never replaced by different ones (I5): what is on disk, in this file or in another one, is compared, and a difference is `wal.rewrite`;
 * - writing goes on while a flush is in flight; one flush at a time, the next one covers all that came meanwhile;
 * - after the last byte the segment is zeros, so that its end can be seen;
 * - after an error nothing is reported as durable any more.
 */
import { formatLsn, isDiskFull, MirabelleError } from '@mirabelle/messages'
import type { Lsn, Timeline } from '@mirabelle/messages'
import { faults, type Disk, type FileHandle } from '@mirabelle/runtime'
import { DEFAULT_SEGMENT_SIZE, PAGE_SIZE, segmentStart } from '../format/constants.ts'
import { walFileName } from '../format/file-names.ts'

export interface WalWriterOptions {
  readonly disk: Disk
  readonly dir: string
  readonly segmentSize?: number
  /** First byte that will be written. */
  readonly start: Lsn
  /** End of the WAL that was acknowledged before. */
  readonly protectedEnd: Lsn
  /** The timeline in whose files (or its ancestors') that WAL lies: what is in files of newer ones was never acknowledged. Any by default. */
  readonly protectedTimeline?: Timeline
  /** That WAL as it lies in other files, where the file that is written has none of it; undefined when it lies nowhere. Resolves with all of [from, to). */
  readonly readProtected?: (from: Lsn, to: Lsn) => Promise<Uint8Array | undefined>
  /** All bytes before `end` are durable. */
  readonly onSynced: (end: Lsn) => void
  /** Called once; the writer does nothing more. `wal.rewrite`, or `disk.full` or `disk.failed` with the disk's error as cause. */
  readonly onError: (error: MirabelleError) => void
}

interface Pending {
  readonly timeline: Timeline
  readonly start: Lsn
  readonly bytes: Uint8Array
}

interface OpenSegment {
  readonly timeline: Timeline
  readonly start: Lsn
  readonly file: FileHandle
  /** Bytes on disk that were there before and are compared: the segment's share below protectedEnd. */
  readonly keptUntil: Lsn
}

/** Most bytes that one write call carries. */
const MAX_WRITE = 256 * 1024

export class WalWriter {
  readonly segmentSize: number
  writtenEnd: Lsn
  syncedEnd: Lsn
  /** Bytes that wait to be written. */
  queuedBytes = 0
  readonly #options: WalWriterOptions
  #appendedEnd: Lsn
  #queue: Pending[] = []
  #current: OpenSegment | undefined
  #dirty = new Set<OpenSegment>()
  #inFlight: readonly OpenSegment[] = []
  #newFiles = false
  #writing = false
  #syncing = false
  #failed = false
  #closed = false
  #idle: (() => void)[] = []

  constructor(options: WalWriterOptions) {
    this.#options = options
    this.segmentSize = options.segmentSize ?? DEFAULT_SEGMENT_SIZE
    this.writtenEnd = options.start
    this.syncedEnd = options.start
    this.#appendedEnd = options.start
  }

  /** Queues the bytes that follow those queued so far, for the segment files of `timeline`. They must not be changed afterwards. */
  append(timeline: Timeline, start: Lsn, bytes: Uint8Array): void {
    if (this.#failed || this.#closed || bytes.length === 0) return
    if (start !== this.#appendedEnd)
      throw new MirabelleError(
        'internal',
        `WAL to write must be contiguous: got ${formatLsn(start)} after ${formatLsn(this.#appendedEnd)}`,
      )
    this.#appendedEnd = start + bytes.length
    this.queuedBytes += bytes.length
    this.#queue.push({ timeline, start, bytes })
    if (!this.#writing) void this.#write()
  }

  /** Resolves when all that was appended is durable, or the writer failed. */
  settled(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Waits for what is in flight and closes the files. Nothing can be appended any more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.settled()
    const open = [...this.#dirty, ...this.#inFlight]
    if (this.#current !== undefined) open.push(this.#current)
    this.#current = undefined
    this.#dirty.clear()
    for (const segment of new Set(open)) await segment.file.close().catch(() => undefined)
  }

  #isIdle(): boolean {
    const done = this.#failed || (this.#queue.length === 0 && this.syncedEnd === this.writtenEnd)
    return done && !this.#writing && !this.#syncing
  }

  #wakeIdle(): void {
    if (!this.#isIdle()) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  async #write(): Promise<void> {
    this.#writing = true
    try {
      for (let piece = this.#next(); piece !== undefined; piece = this.#next()) {
        await this.#writePiece(piece)
        this.queuedBytes -= piece.bytes.length
        if (!this.#syncing) void this.#sync()
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#writing = false
    this.#wakeIdle()
  }

  /** The next run of bytes that lies in one segment; small neighbours are joined. */
  #next(): Pending | undefined {
    const first = this.#queue[0]
    if (first === undefined || this.#failed) return undefined
    const room = segmentStart(first.start, this.segmentSize) + this.segmentSize - first.start
    if (first.bytes.length > room) {
      const { timeline, start, bytes } = first
      this.#queue[0] = { timeline, start: start + room, bytes: bytes.subarray(room) }
      return { timeline, start, bytes: bytes.subarray(0, room) }
    }
    const limit = Math.min(room, MAX_WRITE)
    let count = 1
    let length = first.bytes.length
    for (let one = this.#queue[1]; one !== undefined; one = this.#queue[count]) {
      if (one.timeline !== first.timeline || length + one.bytes.length > limit) break
      length += one.bytes.length
      count++
    }
    const taken = this.#queue.splice(0, count)
    if (count === 1) return first
    const bytes = new Uint8Array(length)
    let at = 0
    for (const one of taken) {
      bytes.set(one.bytes, at)
      at += one.bytes.length
    }
    return { timeline: first.timeline, start: first.start, bytes }
  }

  async #writePiece(piece: Pending): Promise<void> {
    const segment = await this.#segmentFor(piece)
    let { start, bytes } = piece
    if (start < segment.keptUntil) {
      const length = Math.min(bytes.length, segment.keptUntil - start)
      if (await this.#same(segment, start, bytes.subarray(0, length))) {
        bytes = bytes.subarray(length)
        start += length
      }
    }
    if (bytes.length > 0) await this.#compareWithOthers(segment, start, bytes)
    if (bytes.length > 0) {
      await segment.file.write(start - segment.start, bytes)
      // Not before: a flush that begins while the write is under way does not cover it.
      this.#dirty.add(segment)
    }
    this.writtenEnd = piece.start + piece.bytes.length
  }

  /** True when the bytes are on disk already; false when their pages are empty there. Throws `wal.rewrite` when they differ. */
  async #same(segment: OpenSegment, start: Lsn, bytes: Uint8Array): Promise<boolean> {
    const there = await segment.file.read(start - segment.start, bytes.length)
    return samePages(there, bytes, start, segment.timeline) && there.length === bytes.length
  }

  /** Throws `wal.rewrite` when what was acknowledged lies in another file, of an older timeline or in another folder, and is something else there. */
  async #compareWithOthers(segment: OpenSegment, start: Lsn, bytes: Uint8Array): Promise<void> {
    const { protectedEnd, readProtected } = this.#options
    const end = Math.min(protectedEnd, start + bytes.length)
    if (readProtected === undefined || start < segment.keptUntil || end <= start) return
    const there = await readProtected(start, end)
    if (there !== undefined) samePages(there, bytes, start, segment.timeline)
  }

  async #segmentFor(piece: Pending): Promise<OpenSegment> {
    const start = segmentStart(piece.start, this.segmentSize)
    const current = this.#current
    if (current !== undefined && current.start === start && current.timeline === piece.timeline)
      return current
    this.#current = undefined
    if (current !== undefined && !this.#dirty.has(current) && !this.#inFlight.includes(current))
      await current.file.close()
    const { disk, dir } = this.#options
    const isProtected = piece.timeline <= (this.#options.protectedTimeline ?? Infinity)
    const protectedEnd = isProtected ? this.#options.protectedEnd : 0
    const path = `${dir}/${walFileName(piece.timeline, start, this.segmentSize)}`
    const file = await disk.open(path, 'a+')
    const segment = await this.#prepared(file, piece.timeline, start, protectedEnd).catch(
      async (error: unknown) => {
        await file.close()
        throw error
      },
    )
    this.#current = segment
    this.#dirty.add(segment)
    this.#newFiles = true
    return segment
  }

  async #prepared(file: FileHandle, timeline: Timeline, start: Lsn, protectedEnd: Lsn): Promise<OpenSegment> {
    const size = await file.size()
    const keptUntil = Math.max(start, Math.min(protectedEnd, start + size, start + this.segmentSize))
    // What lies after the acknowledged end is the tail of an older stream: it goes, so that the end can be seen. The file keeps its length, and its place
    // on a disk that may be full: PostgreSQL reads whole pages, also the last one that was acknowledged.
    for (let at = keptUntil - start; at < size; at += MAX_WRITE)
      await file.write(at, new Uint8Array(Math.min(MAX_WRITE, size - at)))
    if (size > this.segmentSize) await file.truncate(this.segmentSize)
    // Its place on the disk is taken at once: a flush of WAL then has only data to write, no metadata.
    if (size < this.segmentSize) await file.reserve(this.segmentSize)
    return { timeline, start, file, keptUntil: size === 0 ? start : keptUntil }
  }

  async #sync(): Promise<void> {
    this.#syncing = true
    try {
      while (!this.#failed && this.syncedEnd < this.writtenEnd) {
        const end = this.writtenEnd
        const dirty = [...this.#dirty]
        const newFiles = this.#newFiles
        this.#inFlight = dirty
        this.#dirty.clear()
        this.#newFiles = false
        if (faults !== undefined) await faults.at('fsync.wal.mirror.before')
        await Promise.all(dirty.map((segment) => segment.file.sync()))
        if (newFiles) await this.#options.disk.syncDir(this.#options.dir)
        if (faults !== undefined) await faults.at('fsync.wal.mirror.after')
        this.#inFlight = []
        for (const segment of dirty) {
          if (segment !== this.#current && !this.#dirty.has(segment)) await segment.file.close()
        }
        if (this.#failed) break
        this.syncedEnd = end
        this.#options.onSynced(end)
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#syncing = false
    this.#wakeIdle()
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#queue = []
    this.queuedBytes = 0
    const typed =
      error instanceof MirabelleError
        ? error
        : new MirabelleError(
            isDiskFull(error) ? 'disk.full' : 'disk.failed',
            `writing WAL at ${formatLsn(this.writtenEnd)} in ${this.#options.dir} failed: ${(error as Error).message}`,
            { cause: error },
          )
    this.#options.onError(typed)
  }
}

/** True when none of the pages that are there differs; false when some are empty there. Throws `wal.rewrite` for one that is something else. */
function samePages(there: Uint8Array, bytes: Uint8Array, start: Lsn, timeline: Timeline): boolean {
  let same = true
  for (let from = 0; from < there.length;) {
    const to = Math.min(there.length, from + PAGE_SIZE - ((start + from) % PAGE_SIZE))
    const old = there.subarray(from, to)
    if (Buffer.compare(old, bytes.subarray(from, to)) !== 0) {
      if (old.some((byte) => byte !== 0))
        throw new MirabelleError(
          'wal.rewrite',
          `WAL from ${formatLsn(start + from)} to ${formatLsn(start + to)} was acknowledged before and differs from what came now; nothing was overwritten`,
          { detail: { lsn: start + from, timeline } },
        )
      same = false
    }
    from = to
  }
  return same
}
