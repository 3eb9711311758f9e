/** Starts and stops of PostgreSQL, each with its limit (I10). */
import type { EnginePort } from '@mirabelle/engine'
import { MirabelleError, type Dbid } from '@mirabelle/messages'
import { withTimeout, type Clock, type Logger } from '@mirabelle/runtime'

/** PostgreSQL must have started, or ended recovery, within this time, ms: crash recovery replays at some 130 MB/s. */
const START_MS = 10 * 60_000
/** PostgreSQL must have stopped within this time, ms. */
const STOP_MS = 30_000

export class EngineLimits {
  readonly #engine: EnginePort
  readonly #clock: Clock
  readonly #log: Logger
  readonly #dbid: Dbid

  constructor(engine: EnginePort, clock: Clock, log: Logger, dbid: Dbid) {
    this.#engine = engine
    this.#clock = clock
    this.#log = log
    this.#dbid = dbid
  }

  /** Waits for a start or promotion; rejects with `engine.died` when it takes too long. */
  started<T>(work: Promise<T>, what: string): Promise<T> {
    return withTimeout(
      this.#clock,
      work,
      START_MS,
      () =>
        new MirabelleError('engine.died', `${what} of dbid ${this.#dbid} has not ended after ${START_MS} ms`),
    )
  }

  /** Stops PostgreSQL. A failure is logged: the process is to end, and its end stops everything. */
  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    const tooLong = (): MirabelleError =>
      new MirabelleError(
        'engine.died',
        `PostgreSQL of dbid ${this.#dbid} has not stopped after ${STOP_MS} ms`,
      )
    try {
      await withTimeout(this.#clock, this.#engine.stop(mode), STOP_MS, tooLong)
    } catch (error) {
      this.#log.warn({ err: error, mode }, 'PostgreSQL did not stop as asked')
    }
  }
}
