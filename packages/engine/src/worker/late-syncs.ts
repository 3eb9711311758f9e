/**
 * The fsyncs of a promotion, done together instead of one after the other.
 *
 * At the end of recovery PostgreSQL makes a checkpoint, and recycles old WAL: some fifty fsyncs, each of which waits for the disk, while clients wait
 * for the promotion. Nothing needs them one by one. What has to be on disk is everything before the control file that says so, and all of it before the
 * backend opens. So the files are noted, and synced by the main thread, all at once, at these two moments.
 *
 * Lives as long as one start of the backend; used on the engine thread, which waits for the main thread.
 */
import { Field, type SharedState } from '../shared/shared-state.ts'
import { FsyncFailed } from './wal-guard.ts'

export class LateSyncs {
  readonly #state: SharedState
  readonly #ask: (paths: readonly string[]) => void
  readonly #paths = new Set<string>()

  /** `ask` makes the main thread sync the files, and count it in `Field.filesSynced` when that is done. */
  constructor(state: SharedState, ask: (paths: readonly string[]) => void) {
    this.#state = state
    this.#ask = ask
  }

  /** True while fsyncs may be put off: a promotion is under way. */
  get mayWait(): boolean {
    return this.#state.get(Field.promote) === 1
  }

  /** Notes a file, or a folder, that is to be synced. */
  add(path: string): void {
    this.#paths.add(path)
  }

  /** Returns when all that was noted is durable. Throws FsyncFailed when a file could not be synced; it is never tried again. */
  finish(): void {
    if (this.#paths.size === 0) return
    const seen = this.#state.get(Field.filesSynced)
    const paths = [...this.#paths]
    this.#paths.clear()
    this.#ask(paths)
    while (this.#state.get(Field.filesSynced) === seen) this.#state.waitWhile(Field.filesSynced, seen)
    if (this.#state.get(Field.fileSyncFailed) === 1)
      throw new FsyncFailed(
        `one of ${paths.length} files of the promotion`,
        'the log of the instance names it',
      )
  }
}
