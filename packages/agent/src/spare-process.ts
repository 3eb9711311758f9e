/**
 * A process that is made before its instance is started: it loads its program meanwhile, and is an instance only when it is told to begin. Made by the keeper of an
 * instance that is about to take another role. One that nobody needs ends soon; it ends with its agent, too.
 */
import type { Clock, Logger, Timer } from '@mirabelle/runtime'
import type { SpareProcess } from './process-port.ts'

/** A switchover waits for transactions at most about so long, ms. */
const KEPT_MS = 60_000

export class Spare {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #make: () => Promise<SpareProcess> | undefined
  #process: Promise<SpareProcess | undefined> | undefined
  #limit: Timer | undefined

  /** `make` gives nothing where processes cannot be made ahead. */
  constructor(clock: Clock, log: Logger, make: () => Promise<SpareProcess> | undefined) {
    this.#clock = clock
    this.#log = log
    this.#make = make
  }

  /** Makes one unless it is there. */
  prepare(): void {
    if (this.#process !== undefined) return
    const made = this.#make()?.catch((error: unknown) => {
      this.#log.warn({ err: error }, 'no process could be made ahead: the start makes it')
      return undefined
    })
    if (made === undefined) return
    this.#process = made
    this.#limit = this.#clock.setTimer(KEPT_MS, () => this.drop())
    void made.then(async (process) => {
      await process?.exited
      if (this.#process === made) this.#forget()
    })
  }

  /** The one that was made, which is the caller's now; undefined when there is none. */
  take(): Promise<SpareProcess | undefined> {
    const process = this.#process ?? Promise.resolve(undefined)
    this.#forget()
    return process
  }

  /** Ends it. */
  drop(): void {
    void this.take().then((process) => process?.kill('SIGKILL'))
  }

  #forget(): void {
    this.#limit?.clear()
    this.#process = undefined
  }
}
