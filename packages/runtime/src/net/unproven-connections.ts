/**
 * Connections that a listener has accepted and that have not proven themselves yet. Bounded in number and time, so that
 * random bytes and slow peers hold nothing: the oldest goes when there are too many.
 */
import type { Clock, Timer } from '../ports/clock.ts'

/** Connections of a listener that may be unproven at one time. */
export const MAX_UNPROVEN = 64
/** How long the proof may take. */
export const HANDSHAKE_TIMEOUT_MS = 2000

export class UnprovenConnections {
  readonly #clock: Clock
  readonly #open = new Map<object, { drop: (why: string) => void; timer: Timer }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#open.size
  }

  /** Watches a connection until `done`; `drop` ends it and says why. */
  add(key: object, drop: (why: string) => void): void {
    const [oldest] = this.#open.size >= MAX_UNPROVEN ? this.#open.keys() : []
    if (oldest !== undefined)
      this.#drop(oldest, `more than ${MAX_UNPROVEN} connections that have not proven themselves`)
    const timer = this.#clock.setTimer(HANDSHAKE_TIMEOUT_MS, () =>
      this.#drop(key, `no proof within ${HANDSHAKE_TIMEOUT_MS} ms`),
    )
    this.#open.set(key, { drop, timer })
  }

  /** The connection has proven itself, or ended. */
  done(key: object): void {
    this.#open.get(key)?.timer.clear()
    this.#open.delete(key)
  }

  dropAll(why: string): void {
    for (const key of [...this.#open.keys()]) this.#drop(key, why)
  }

  #drop(key: object, why: string): void {
    const entry = this.#open.get(key)
    this.done(key)
    entry?.drop(why)
  }
}
