/**
 * Makes WAL durable from the main thread, while the engine runs on: one fdatasync in flight, the next one covers everything
 * that was written meanwhile. Owned by the engine; lives as long as it does.
 *
 * A failed fsync is final: the pages may be lost, and a second fsync would claim success. The engine is dead then.
 */
import { close, fdatasync, fsync, open } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Lsn, Timeline } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { segmentNames } from '../layout.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'

const openFile = promisify(open) as (path: string, flags: string) => Promise<number>
const closeFile = promisify(close)
const syncData = promisify(fdatasync)
const syncAll = promisify(fsync)

/** How far WAL is written. */
interface Written {
  readonly timeline: Timeline
  /** What PostgreSQL takes for flushed. */
  readonly flush: Lsn
  /** Pages are written up to here. */
  readonly pages: Lsn
  /** The worker's count of writes that this covers. */
  readonly writes: number
}

export class WalSync {
  readonly #pgWal: string
  readonly #segmentBytes: number
  readonly #onFailure: (error: Error) => void
  #state: SharedState | undefined
  #written: Written = { timeline: 0, flush: 0, pages: 0, writes: 0 }
  #synced: Written = this.#written
  readonly #open = new Map<string, number>()
  #running: Promise<Lsn> | undefined
  #next: Promise<Lsn> | undefined
  #failure: Error | undefined

  constructor(pgWal: string, segmentBytes: number, onFailure: (error: Error) => void) {
    this.#pgWal = pgWal
    this.#segmentBytes = segmentBytes
    this.#onFailure = onFailure
  }

  /** The backend has started and made its WAL durable itself up to `lsn`. */
  reset(state: SharedState, timeline: Timeline, lsn: Lsn, writes: number): void {
    this.#state = state
    this.#written = { timeline, flush: lsn, pages: lsn, writes }
    this.#synced = this.#written
    state.setDurable(lsn)
  }

  /** WAL was written. */
  wrote(timeline: Timeline, flush: Lsn, pages: Lsn, writes: number): void {
    this.#written = { timeline, flush, pages: Math.max(pages, flush), writes }
  }

  /** Resolves with the LSN up to which WAL is durable: at least what was reported written when this was called. */
  sync(): Promise<Lsn> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#running === undefined) return this.#start()
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      return this.#start()
    })
    return this.#next
  }

  /** Waits for what is in flight and closes the files. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#running, this.#next])
    const fds = [...this.#open.values()]
    this.#open.clear()
    await Promise.all(fds.map((fd) => closeFile(fd)))
  }

  #start(): Promise<Lsn> {
    const target = this.#written
    if (target.writes === this.#synced.writes && target.flush === this.#synced.flush)
      return Promise.resolve(target.flush)
    const state = this.#state
    const running = this.#sync(target).then(
      () => {
        this.#running = undefined
        if (this.#state === state) {
          this.#synced = target
          state?.set(Field.walSynced, target.writes)
          state?.setDurable(target.flush)
        }
        return target.flush
      },
      (error: unknown) => {
        this.#running = undefined
        this.#failure = error as Error
        this.#onFailure(this.#failure)
        throw error
      },
    )
    this.#running = running
    return running
  }

  async #sync(target: Written): Promise<void> {
    const names = segmentNames(target.timeline, this.#synced.flush, target.pages, this.#segmentBytes)
    const fresh = names.filter((name) => !this.#open.has(name))
    for (const name of fresh) this.#open.set(name, await openFile(join(this.#pgWal, name), 'r+'))
    if (faults !== undefined) await faults.at('fsync.wal.primary.before')
    await Promise.all(names.map((name) => syncData(this.#open.get(name) as number)))
    if (fresh.length > 0) await this.#syncFolder()
    if (faults !== undefined) await faults.at('fsync.wal.primary.after')
    const last = names.at(-1)
    for (const [name, fd] of this.#open) {
      if (name === last || last === undefined) continue
      this.#open.delete(name)
      await closeFile(fd)
    }
  }

  async #syncFolder(): Promise<void> {
    const fd = await openFile(this.#pgWal, 'r')
    try {
      await syncAll(fd)
    } finally {
      await closeFile(fd)
    }
  }
}
