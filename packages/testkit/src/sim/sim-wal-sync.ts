/**
 * fsync of the stand-in engine: one at a time over the files that were written since the last, a next one for whoever asks meanwhile. Made by the engine, lives
 * as long. A disk that fails to sync ends the engine, as PostgreSQL PANICs.
 */
import { EngineDied, EngineStopped } from '@mirabelle/engine'
import type { Lsn } from '@mirabelle/messages'
import type { SimDisk } from './sim-disk.ts'
import type { SimFiles } from './sim-files.ts'

export interface SimWalSyncEngine {
  /** End of what has been written. */
  readonly end: () => Lsn
  /** Grows with each start and stop of the engine: what was begun before is void. */
  readonly run: () => number
  readonly onFailed: (error: EngineDied) => void
}

export class SimWalSync {
  readonly #disk: SimDisk
  readonly #files: SimFiles
  readonly #engine: SimWalSyncEngine
  readonly #unsynced = new Set<string>()
  #syncing: Promise<Lsn> | undefined
  #next: Promise<Lsn> | undefined

  constructor(disk: SimDisk, files: SimFiles, engine: SimWalSyncEngine) {
    this.#disk = disk
    this.#files = files
    this.#engine = engine
  }

  /** These files have been written to. */
  wrote(paths: readonly string[]): void {
    for (const path of paths) this.#unsynced.add(path)
  }

  /** Resolves when all that is written now is durable, with its end. */
  syncAll(): Promise<Lsn> {
    if (this.#syncing === undefined) return this.#start()
    this.#next ??= this.#syncing
      .catch(() => undefined) // told to the one who asked
      .then(() => {
        this.#next = undefined
        return this.#start()
      })
    return this.#next
  }

  #start(): Promise<Lsn> {
    const syncing = this.#sync().finally(() => {
      if (this.#syncing === syncing) this.#syncing = undefined
    })
    this.#syncing = syncing
    return syncing
  }

  async #sync(): Promise<Lsn> {
    const run = this.#engine.run()
    const end = this.#engine.end()
    const paths = [...this.#unsynced]
    this.#unsynced.clear()
    await this.#disk.does('sync', false)
    const files = paths.map((path) => this.#files.file(path))
    const snapshots = files.map((file) => file?.snapshot())
    await this.#disk.take(this.#disk.syncMs())
    if (this.#engine.run() !== run) throw new EngineStopped('the engine was stopped meanwhile')
    if (this.#disk.host.disk.failSync) {
      const error = new EngineDied('PANIC: could not fsync WAL: EIO')
      this.#engine.onFailed(error)
      throw error
    }
    snapshots.forEach((makeDurable, i) => makeDurable?.(this.#disk.lies(paths[i] as string)))
    // PostgreSQL makes the name of a segment durable when it makes the segment.
    for (const file of files) if (file !== undefined) file.isNamed = true
    await this.#disk.does('sync', true)
    return end
  }
}
