/**
 * Makes the primary's own WAL durable: asks the engine for one fdatasync at a time, and for the next as soon as there is WAL that the
 * last did not cover. Owned by the primary side; ends with `stop`. A failed sync is the end of the instance: nothing may be
 * assumed about what is on disk (as in PostgreSQL, which PANICs).
 */
import type { Lsn } from '@mirabelle/messages'

export interface WalSyncOptions {
  readonly syncWal: () => Promise<Lsn>
  readonly onDurable: (lsn: Lsn) => void
  readonly onFailed: (error: unknown) => void
}

export class WalSync {
  readonly #options: WalSyncOptions
  #running = false
  #wanted = false
  #stopped = false
  #left = false

  constructor(options: WalSyncOptions) {
    this.#options = options
  }

  /** There is new WAL. Cheap; call it for each chunk. */
  request(): void {
    this.#wanted = true
    if (!this.#running && !this.#stopped) this.#run()
  }

  /** The engine is being stopped in an orderly way and makes its last WAL durable itself: a sync that it refuses is no failure. */
  leaveToEngine(): void {
    this.#left = true
  }

  stop(): void {
    this.#stopped = true
  }

  #run(): void {
    this.#running = true
    this.#wanted = false
    this.#options.syncWal().then(
      (lsn) => {
        this.#running = false
        if (this.#stopped) return
        // The next sync starts before answers are sent: the disk never waits for us.
        if (this.#wanted) this.#run()
        this.#options.onDurable(lsn)
      },
      (error: unknown) => {
        this.#running = false
        if (!this.#stopped && !this.#left) this.#options.onFailed(error)
      },
    )
  }
}
