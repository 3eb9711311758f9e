/**
 * WAL before data, on the disk and not only in the page cache.
 *
 * While the engine is open the main thread fsyncs WAL, in groups. PostgreSQL however counts WAL as flushed once it has
 * written it, and may then write data pages that depend on it. So before a data file is written or fsynced this guard makes
 * the written WAL durable itself, unless the main thread has done so already, or the page says that it depends on older WAL only (its LSN, as in
 * PostgreSQL's own rule): a bulk load that writes a page for each new one would wait for the disk at each.
 *
 * A failed fsync is never tried again: the kernel may have dropped the pages. The guard throws FsyncFailed and the worker dies.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Lsn } from '@mirabelle/messages'
import { WAL_PAGE_BYTES } from '../layout.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'

/** An fsync failed; nothing may be written after it. */
export class FsyncFailed extends Error {
  constructor(path: string, cause: unknown) {
    super(`fsync of ${path} failed: ${String(cause)}`, { cause })
    this.name = 'FsyncFailed'
  }
}

export class WalGuard {
  readonly #pgWal: string
  readonly #state: SharedState
  /** Segment files written since they were last known durable; the descriptor is ours, opened before the first write. */
  readonly #dirty = new Map<string, number>()
  #current: { name: string; fd: number } | undefined
  #newSegment = false
  #syncedWrites = 0
  /** Where the last page that was written begins: it may be written again with more in it, what lies before it is final. */
  #finalEnd: Lsn = 0
  /** WAL before it was made durable here. */
  #durable: Lsn = 0

  constructor(pgWal: string, state: SharedState) {
    this.#pgWal = pgWal
    this.#state = state
  }

  /** Call before each write to a WAL segment file; the write ends at `end`. */
  beforeWalWrite(name: string, end: Lsn): void {
    if (this.#current?.name !== name) this.#openSegment(name)
    const current = this.#current as { name: string; fd: number }
    if (!this.#dirty.has(name)) this.#dirty.set(name, current.fd)
    Atomics.add(this.#state.int32, Field.walWrites, 1)
    this.#finalEnd = Math.max(this.#finalEnd, end - WAL_PAGE_BYTES)
  }

  /** Makes WAL durable: all that was written so far, or as much of it as what needs it up to `upTo` can ask for. */
  ensureDurable(upTo = Number.POSITIVE_INFINITY): void {
    const writes = this.#state.get(Field.walWrites)
    if (writes === this.#syncedWrites || upTo <= this.#durable || upTo <= this.#state.durable()) return
    if (this.#state.get(Field.walSynced) !== writes) {
      for (const [name, fd] of this.#dirty) this.#sync(name, () => fdatasyncSync(fd))
      if (this.#newSegment) this.#syncDirectory()
    }
    this.#syncedWrites = writes
    this.#durable = this.#finalEnd
    this.#newSegment = false
    this.#forgetClean()
  }

  #openSegment(name: string): void {
    // What the main thread has synced meanwhile need not stay open.
    if (this.#state.get(Field.walSynced) === this.#state.get(Field.walWrites)) this.#forgetClean()
    const old = this.#current
    if (old !== undefined && !this.#dirty.has(old.name)) closeSync(old.fd)
    this.#current = { name, fd: openSync(join(this.#pgWal, name), 'r+') }
    this.#newSegment = true
  }

  #forgetClean(): void {
    for (const [name, fd] of this.#dirty) if (name !== this.#current?.name) closeSync(fd)
    this.#dirty.clear()
  }

  #syncDirectory(): void {
    this.#sync(this.#pgWal, () => {
      const fd = openSync(this.#pgWal, 'r')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    })
  }

  #sync(path: string, sync: () => void): void {
    try {
      sync()
    } catch (error) {
      throw new FsyncFailed(path, error)
    }
  }
}
