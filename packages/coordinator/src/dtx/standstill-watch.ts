/**
 * Looks, while others wait for lanes that a transaction holds, whether what the transaction itself waits for stands still, and has it make way then. A statement
 * that takes long is none of its business: a segment that computes says so.
 *
 * Made by a transaction, one for its life; it ends by itself when nobody waits for the transaction any more.
 */
import type { Content } from '@mirabelle/messages'
import type { Clock, Timer } from '@mirabelle/runtime'
import type { Lane } from '../lanes/lane.ts'

/** How long others wait before it is looked, and then from one look to the next, ms. To ask costs a message; what is decided by the answer has its own times. */
const LOOK_MS = 200

/** The transaction, as the watch needs it. */
export interface Watched {
  readonly clock: Clock
  /** It has to do with more than one content. */
  isElsewhere(): boolean
  /** Lanes where it waits for an answer, or for its turn. */
  waitsFor(): readonly Lane[]
  /** Somebody waits for a lane that it holds, other than these. */
  isWaitedFor(except?: readonly Content[]): boolean
  /** It ends as undone, because these stand still. */
  makeWay(contents: readonly Content[]): void
}

export class StandstillWatch {
  readonly #watched: Watched
  #timer: Timer | undefined
  #isLooking = false

  constructor(watched: Watched) {
    this.#watched = watched
  }

  /** Somebody has begun to wait for the transaction, or the transaction for something. */
  begin(): void {
    const { isElsewhere, waitsFor, isWaitedFor } = this.#watched
    if (this.#timer !== undefined || this.#isLooking || !isElsewhere() || !isWaitedFor()) return
    const isKnown = waitsFor().some((lane) => lane.standstill.lasts)
    this.#lookAfter(isKnown ? 0 : LOOK_MS)
  }

  /** The transaction has given a lane back. */
  left(): void {
    if (this.#timer === undefined || this.#watched.isWaitedFor()) return
    this.#timer.clear()
    this.#timer = undefined
  }

  #lookAfter(ms: number): void {
    this.#timer ??= this.#watched.clock.setTimer(ms, () => {
      this.#timer = undefined
      void this.#look()
    })
  }

  async #look(): Promise<void> {
    const { waitsFor, isWaitedFor, makeWay } = this.#watched
    if (!isWaitedFor()) return
    this.#isLooking = true
    const looked = await Promise.all(
      waitsFor().map(async (lane) => ({ lane, isStill: await lane.standsStill(LOOK_MS) })),
    )
    this.#isLooking = false
    const still = looked.filter(({ isStill }) => isStill).map(({ lane }) => lane.content)
    if (!isWaitedFor(still)) return
    if (still.length > 0) makeWay(still)
    else this.#lookAfter(LOOK_MS)
  }
}
