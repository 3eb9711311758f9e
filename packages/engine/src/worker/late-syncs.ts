/**
 * The fsyncs of a start or of a promotion, done together instead of one after the other.
 *
 * PostgreSQL syncs each file by itself, and waits: the whole data directory when it starts after a crash (as a mirror does each time), some fifty files at the
 * end of recovery, while clients wait for a promotion. Nothing needs them one by one. So files are noted, the main thread syncs them in groups while
 * PostgreSQL goes on, and this thread waits where it matters: for the WAL of a primary before it is replayed; before the control file names another checkpoint, because
 * recovery would begin there and take for granted what came before; and before the backend opens.
 *
 * What the control file of a mirror says while it replays needs nothing of the sort: whatever is lost, it replays from its base again.
 *
 * Lives as long as one start of the backend; used on the engine thread.
 */
import { Field, type SharedState } from '../shared/shared-state.ts'
import { FsyncFailed } from './wal-guard.ts'

/** The most files of a group: all of them are open at the same time. */
const GROUP = 64

export class LateSyncs {
  readonly #state: SharedState
  readonly #role: 'primary' | 'mirror'
  readonly #ask: (paths: readonly string[]) => void
  readonly #paths = new Set<string>()
  /** Groups that were given to the main thread. */
  #asked = 0

  /** `ask` makes the main thread sync the files, and count the group in `Field.filesSynced` when that is done. */
  constructor(state: SharedState, role: 'primary' | 'mirror', ask: (paths: readonly string[]) => void) {
    this.#state = state
    this.#role = role
    this.#ask = ask
  }

  /** Notes a file, or a folder, that is to be synced. Throws FsyncFailed when an earlier one could not be. */
  add(path: string): void {
    this.#check()
    this.#paths.add(path)
    // What is noted while a group is under way is the next one.
    if (this.#paths.size >= GROUP || this.#state.get(Field.filesSynced) === this.#asked) this.#handOver()
  }

  /**
   * All WAL is noted that replay is going to read. A process that was killed had not made all of it durable, and what replay changes (writes, cuts off, deletes) must not be
   * there without it. That of a mirror was made durable before it was told of.
   */
  beforeReplay(): void {
    if (this.#role === 'primary') this.finish()
  }

  /** The control file is about to name another checkpoint. */
  beforeCheckpoint(): void {
    if (this.#role === 'primary' || this.#state.get(Field.promote) === 1) this.finish()
  }

  /** Returns when all that was noted is durable. Throws FsyncFailed when a file could not be synced; it is never tried again. */
  finish(): void {
    this.#handOver()
    for (;;) {
      const done = this.#state.get(Field.filesSynced)
      if (done === this.#asked) break
      this.#state.waitWhile(Field.filesSynced, done)
    }
    this.#check()
  }

  #handOver(): void {
    if (this.#paths.size === 0) return
    const paths = [...this.#paths]
    this.#paths.clear()
    this.#asked++
    this.#ask(paths)
  }

  #check(): void {
    if (this.#state.get(Field.fileSyncFailed) === 1)
      throw new FsyncFailed('a file of the data directory', 'the log of the instance names it')
  }
}
