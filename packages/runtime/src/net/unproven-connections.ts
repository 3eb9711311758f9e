/**
 * Connections that a listener has accepted and that have not proven themselves yet. Bounded in number and time, so that random bytes and slow
 * peers hold nothing. When there are too many, the oldest goes of the address that has the most: a flood ends its own connections first.
 */
import type { Clock, Timer } from '../ports/clock.ts'

/** Connections of a listener of the cluster that may be unproven at one time. */
export const MAX_UNPROVEN = 64
/** How long the proof may take. Whoever opens may be held up, too: a machine that starts many processes at once lets some wait for seconds. */
export const HANDSHAKE_TIMEOUT_MS = 10_000
/** The time is counted in so many parts, and one that this process slept through counts once: what was sent meanwhile is read first. */
export const PARTS = 4

export interface UnprovenOptions {
  readonly clock: Pick<Clock, 'setTimer'>
  readonly most: number
  /** Asked for each connection. */
  readonly timeoutMs: () => number
}

/** Ends a connection. `late`: the time is up; else there are too many. */
export type Drop = (late: boolean) => void

interface Unproven {
  readonly from: string
  readonly drop: Drop
  timer: Timer
}

export class UnprovenConnections {
  readonly #options: UnprovenOptions
  readonly #open = new Map<object, Unproven>()
  /** By address, oldest first. */
  readonly #byAddress = new Map<string, Set<object>>()

  constructor(options: UnprovenOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#open.size
  }

  /** Watches a connection from an address until `done`. */
  add(key: object, from: string | undefined, drop: Drop): void {
    if (this.#open.size >= this.#options.most) this.#drop(this.#victim(), false)
    const address = from ?? ''
    const partMs = this.#options.timeoutMs() / PARTS
    this.#open.set(key, { from: address, drop, timer: this.#watch(key, partMs, PARTS) })
    const others = this.#byAddress.get(address)
    if (others === undefined) this.#byAddress.set(address, new Set([key]))
    else others.add(key)
  }

  #watch(key: object, partMs: number, parts: number): Timer {
    return this.#options.clock.setTimer(partMs, () => {
      const entry = this.#open.get(key)
      if (entry === undefined) return
      if (parts === 1) this.#drop(key, true)
      else entry.timer = this.#watch(key, partMs, parts - 1)
    })
  }

  /** The connection has proven itself, or ended. */
  done(key: object): void {
    const entry = this.#open.get(key)
    if (entry === undefined) return
    entry.timer.clear()
    this.#open.delete(key)
    const others = this.#byAddress.get(entry.from)
    others?.delete(key)
    if (others?.size === 0) this.#byAddress.delete(entry.from)
  }

  dropAll(): void {
    for (const key of [...this.#open.keys()]) this.#drop(key, false)
  }

  #victim(): object | undefined {
    let most: Set<object> | undefined
    for (const keys of this.#byAddress.values()) if (keys.size > (most?.size ?? 0)) most = keys
    return most?.values().next().value
  }

  #drop(key: object | undefined, late: boolean): void {
    const entry = key === undefined ? undefined : this.#open.get(key)
    if (key === undefined || entry === undefined) return
    this.done(key)
    entry.drop(late)
  }
}
