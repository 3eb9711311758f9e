/**
 * Cancels requests: first by PostgreSQL's own interrupt, then, after a grace, by asking for a restart of the backend.
 *
 * One request at a time can be flagged in shared memory (the one that the worker shall interrupt); the others wait their turn here.
 */
import { EngineCancelled, EngineDied, EngineStopped } from '../errors.ts'
import type { SetTimer } from '../options.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'
import type { Pending, RequestQueue } from './request-queue.ts'

export class Canceller {
  readonly #queue: RequestQueue
  readonly #setTimer: SetTimer
  readonly #restart: (victim: Pending) => void
  /** Requests to be cancelled that are not over, with the timer of their grace. */
  readonly #wanted = new Map<Pending, { clear(): void } | undefined>()

  constructor(queue: RequestQueue, setTimer: SetTimer, restart: (victim: Pending) => void) {
    this.#queue = queue
    this.#setTimer = setTimer
    this.#restart = restart
  }

  /** Cancels the request with this tag, wherever it is; nothing happens when it is over. */
  cancel(tag: number, graceMs: number, state: SharedState | undefined): void {
    const found = this.#queue.find(tag)
    if (found === undefined) return
    if (!found.sent && found.pending.request.inTransaction !== true) {
      this.#queue.remove(found.pending)
      found.pending.reject(new EngineCancelled(tag, false))
      return
    }
    if (state === undefined) return
    this.#forget(found.pending)
    this.#wanted.set(found.pending, undefined)
    this.refresh(state)
    if (Number.isFinite(graceMs)) this.#waitGrace(found.pending, graceMs, state)
  }

  /** The engine stops: rejects what was not sent, and has the worker interrupt the rest. */
  cancelAll(state: SharedState | undefined): void {
    for (const { request, reject } of this.#queue.takeWaiting()) {
      reject(new EngineStopped(`request ${request.tag}: the engine is being stopped`))
    }
    if (state === undefined) return
    for (const pending of this.#queue.sent())
      if (!this.#wanted.has(pending)) this.#wanted.set(pending, undefined)
    this.refresh(state)
  }

  /** Something finished: flags the oldest cancelled request that is not over. */
  refresh(state: SharedState): void {
    if (this.#wanted.size === 0) return
    let flagged = 0
    for (const pending of this.#wanted.keys()) {
      if (pending.done) this.#forget(pending)
      else if (pending.seq > 0 && (flagged === 0 || pending.seq < flagged)) flagged = pending.seq
    }
    state.set(Field.cancel, flagged)
    // It may be waiting for its output to be taken.
    Atomics.notify(state.int32, Field.outputTaken)
  }

  /** Nothing is to be cancelled any more: the engine has stopped. */
  clear(): void {
    for (const pending of [...this.#wanted.keys()]) this.#forget(pending)
  }

  /**
   * The worker was terminated because of `victim`. Rejects what was running, and gives back what had not begun.
   * `finished` are requests whose results are known.
   */
  sortOut(victim: Pending, running: number, finished: ReadonlySet<number>, state: SharedState): Pending[] {
    const mayHaveCommitted = state.get(Field.walWrites) !== state.get(Field.runningWalWrites)
    const again: Pending[] = []
    for (const pending of this.#queue.unfinished(finished)) {
      this.#forget(pending)
      if (pending.seq !== running && pending !== victim) again.push(pending)
      else {
        pending.done = true
        pending.reject(
          pending === victim
            ? new EngineCancelled(pending.request.tag, mayHaveCommitted)
            : new EngineDied(`request ${pending.request.tag} was running when the backend was restarted`),
        )
      }
    }
    return again
  }

  #waitGrace(pending: Pending, graceMs: number, state: SharedState): void {
    const timer = this.#setTimer(graceMs, () => {
      if (pending.done || !this.#wanted.has(pending)) return
      // Requests before it still run: its own grace begins when it does.
      if (state.get(Field.running) !== pending.seq) this.#waitGrace(pending, graceMs, state)
      else this.#restart(pending)
    })
    this.#wanted.set(pending, timer)
  }

  #forget(pending: Pending): void {
    this.#wanted.get(pending)?.clear()
    this.#wanted.delete(pending)
  }
}
