/**
 * Who is at work on the coordinator's own engine, so that a role change of the cluster, which must be recorded there at once, can ask them to
 * make way. Reads run again by themselves afterwards.
 */
import type { Clock } from '@mirabelle/runtime'
import type { LaneUser } from '../lanes/lane-queue.ts'

/** What ends by itself within this time is left alone, ms. */
const GRACE_MS = 20

interface LocalUser {
  /** The transaction that holds the lane for it; undefined for a pass. */
  readonly holder: LaneUser | undefined
  readonly makeWay: () => void
}

export class LocalUsers {
  readonly #clock: Clock
  readonly #users = new Set<LocalUser>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Something begins there; call what comes back when it has ended. */
  enter(holder: LaneUser | undefined, makeWay: () => void): () => void {
    const user: LocalUser = { holder, makeWay }
    this.#users.add(user)
    return () => this.#users.delete(user)
  }

  /** Those who are there now make way unless they are done in a moment. */
  preempt(holder: LaneUser | undefined): void {
    const there = [...this.#users].filter((user) => user.holder === holder || user.holder === undefined)
    if (there.length === 0) return
    this.#clock.setTimer(GRACE_MS, () => {
      for (const user of there) if (this.#users.has(user)) user.makeWay()
    })
  }
}
