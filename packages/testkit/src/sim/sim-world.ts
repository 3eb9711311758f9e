/**
 * Simulated time: everything that happens is an event on one heap, run one at a time by `run`.
 *
 * Made with a seed by a simulation or a test; ends when nobody runs it any more. Promises: the same seed and the same calls give the same events
 * in the same order; between two events every promise that can settle has settled (see `afterMicrotasks`); nothing of a process runs while it is
 * paused or after it is dead.
 */
import { SimRandom } from './sim-random.ts'
import { EventHeap, type SimEvent } from './event-heap.ts'
import type { SimProcess } from './sim-process.ts'
import { Trace } from './trace.ts'

interface WorldEvent extends SimEvent {
  readonly owner: SimProcess | undefined
}

const settled = Promise.resolve()

/**
 * What calls `next` after all microtasks, however many follow from each other: Node runs the queue of ticks only when the queue of
 * microtasks is empty, and a tick that is asked for by a microtask is therefore behind all of them.
 */
function afterMicrotasks(next: () => void): () => void {
  const tick = (): void => process.nextTick(next)
  return () => void settled.then(tick)
}

/** Something that the simulation found out to be wrong. */
export class SimFailure extends Error {
  override readonly name = 'SimFailure'
  /** The promise that was broken: I1 … I12, `lost`, `doubled`, `liveness`, `uncaught`, … */
  readonly promise: string

  constructor(promise: string, message: string, cause?: unknown) {
    super(`${promise}: ${message}`, cause === undefined ? undefined : { cause })
    this.promise = promise
  }
}

export class SimWorld {
  readonly seed: number
  readonly random: SimRandom
  readonly trace: Trace
  /** Simulated ms since the world was made. */
  nowMs = 0
  /** Events run so far. */
  steps = 0
  /** Runs after each event, when every promise has settled. Throws a SimFailure for a broken promise. */
  check: (() => void) | undefined
  readonly #heap = new EventHeap<WorldEvent>()
  #order = 0
  #failure: Error | undefined

  constructor(seed: number, options: { readonly trace?: boolean } = {}) {
    this.seed = seed
    this.random = new SimRandom(seed)
    this.trace = new Trace(() => this.nowMs, options.trace === true)
  }

  /** Plans `run` in `delayMs`. What belongs to a process waits while that is paused and is dropped when it is dead. */
  schedule(delayMs: number, owner: SimProcess | undefined, run: () => void): SimEvent {
    const event: WorldEvent = {
      atMs: this.nowMs + Math.max(0, delayMs),
      order: this.#order++,
      owner,
      run,
      cancelled: false,
    }
    this.#heap.push(event)
    return event
  }

  /** Ends the run with a failure that was found in the middle of an event. */
  fail(failure: unknown): void {
    this.#failure ??= failure instanceof Error ? failure : new SimFailure('uncaught', String(failure))
  }

  /** Runs events until `done` says so, no event is left, or time would pass `untilMs`. Rejects with the first failure. */
  run(done: () => boolean, untilMs = Number.POSITIVE_INFINITY, maxSteps = 200_000): Promise<void> {
    const lastStep = this.steps + maxSteps
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          if (this.#failure !== undefined) throw this.#failure
          this.check?.()
          if (done()) return resolve()
          const event = this.#next(untilMs)
          if (event === undefined) return resolve()
          if (++this.steps > lastStep) throw new SimFailure('liveness', `${maxSteps} events and no end`)
          event.run()
        } catch (error) {
          return reject(error as Error)
        }
        later()
      }
      const later = afterMicrotasks(turn)
      later()
    })
  }

  /** Runs until the promise has settled. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false
    const watched = promise.finally(() => (settled = true))
    watched.catch(() => undefined)
    await this.run(() => settled)
    if (!settled)
      throw new SimFailure('liveness', 'nothing is left to happen and the promise is still pending')
    return watched
  }

  #next(untilMs: number): WorldEvent | undefined {
    for (;;) {
      const event = this.#heap.peek()
      if (event === undefined) return undefined
      if (event.atMs > untilMs) {
        this.nowMs = untilMs
        return undefined
      }
      this.#heap.pop()
      if (event.cancelled) continue
      const { owner } = event
      if (owner !== undefined) {
        if (!owner.alive) continue
        if (owner.paused) {
          owner.defer(event)
          continue
        }
      }
      this.nowMs = event.atMs
      return event
    }
  }
}
