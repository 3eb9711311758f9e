/**
 * How a transaction comes to hold lanes: all that it asks for are entered at one moment (sql §1), and none of them is held while another one has no backend, or one
 * that stands still. A content that fails over would otherwise take along the contents that statements need beside it.
 *
 * Made by a transaction, one for its life; one `enter` at a time.
 */
import type { Content } from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { Lane } from '../lanes/lane.ts'
import type { LaneTicket, LaneUser } from '../lanes/lane-queue.ts'
import { SqlError } from '../errors.ts'
import { madeWay } from './undone.ts'

/**
 * How long a content may be away while a transaction waits for it and holds lanes that others wait for, ms. Most failovers are over by then. In a switchover,
 * which ends soon and well, nothing fails.
 */
const PATIENCE_MS = 500

/** What a wait may be ended by, besides lanes. */
export interface EnterWait {
  /** Called at each beginning of a wait with what ends it. */
  readonly onWait?: (cancel: (error: Error) => void) => void
  /** A lane that it needs has no backend, or one that stands still, and is waited for now; what this gives back is called when that is over, and may throw. */
  readonly onClosed?: () => () => void
  /** What is sent leaves the lanes at once, so that one which stands still holds nobody up. */
  readonly leavesAtOnce?: boolean
}

/** The transaction, as entering needs it. */
export interface Enterer {
  readonly user: LaneUser
  readonly clock: Clock
  /** Throws XX000 when there is no such content. */
  lane(content: Content): Lane
  holds(content: Content): boolean
  /** The transaction has a place in the lane of this content. */
  entered(content: Content, ticket: LaneTicket): void
  /** Gives a place back, and forgets the content if nothing has begun there. */
  leave(content: Content): void
  /** It holds a lane. */
  isHolding(): boolean
  /** Somebody waits for a lane that it holds. */
  isWaitedFor(): boolean
  /** Breaks the deadlocks that the transaction is part of. */
  breakCycles(): void
}

export class Entering {
  readonly #enterer: Enterer
  /** Ends the wait that is going on. */
  #fail: ((error: Error) => void) | undefined
  /** A lane has lost its backend, or stands still: everything is given back, to begin again. */
  #again: (() => void) | undefined
  /** Set when patience is over: for others, nothing is waited for any more. */
  #impatient: (() => void) | undefined

  constructor(enterer: Enterer) {
    this.#enterer = enterer
  }

  /**
   * Resolves when all `asked` lanes are held, and with them those of the `foreseen` ones that could be had without waiting for a failover. Rejects with 40001,
   * what a lane says, or what ends the wait; then none of them is held.
   */
  async enter(asked: readonly Content[], foreseen: readonly Content[], wait: EnterWait): Promise<void> {
    for (;;) {
      const moves = (content: Content): boolean => {
        const { isOpen, standstill } = this.#enterer.lane(content)
        return isOpen && !standstill.lasts
      }
      const isAlone = asked.length === 1 && !this.#enterer.isHolding() && wait.onClosed === undefined
      const holdsNobodyUp = (content: Content): boolean => {
        const { isOpen, queue } = this.#enterer.lane(content)
        return isAlone ? isOpen : wait.leavesAtOnce === true && queue.free
      }
      const still = asked.filter((content) => !moves(content))
      const closed = still.filter((content) => !holdsNobodyUp(content))
      const beside = still.length > 0 ? [] : foreseen.filter(moves)
      if (closed.length > 0) {
        const over = wait.onClosed?.()
        await this.#opened(closed, wait)
        over?.()
      } else if (await this.#hold(asked, beside, wait)) return
    }
  }

  /** The transaction is the victim of a deadlock. */
  fail(error: Error): void {
    this.#fail?.(error)
  }

  /** A lane that it holds, and where nothing has begun, has lost its backend. */
  laneLost(): void {
    this.#again?.()
  }

  /** Somebody has begun to wait for a lane that the transaction holds. */
  othersWait(): void {
    this.#impatient?.()
  }

  /** Waits until these lanes have been open and moving, one after the other or together; holds nothing for that. */
  #opened(closed: readonly Content[], wait: EnterWait): Promise<void> {
    const { user, clock } = this.#enterer
    return new Promise((resolve, reject) => {
      const waits: (() => void)[] = []
      let left = closed.length
      let over = false
      const end = (): void => {
        over = true
        this.#fail = this.#impatient = undefined
        patience.clear()
        for (const leave of waits) leave()
      }
      const fail = (error: Error): void => {
        if (over) return
        end()
        reject(error)
      }
      const go = (): void => {
        left -= 1
        if (left > 0 || over) return
        end()
        resolve()
      }
      const switchesOver = (content: Content): boolean =>
        this.#enterer.lane(content).queue.holder?.user.switchesOver === true
      const look = (): void => {
        if (closed.some(switchesOver)) patience = clock.setTimer(PATIENCE_MS, look)
        else if (this.#enterer.isWaitedFor()) fail(madeWay(closed))
        else this.#impatient = look
      }
      let patience = clock.setTimer(this.#patienceWith(closed), look)
      this.#fail = fail
      for (const content of closed) {
        const lane = this.#enterer.lane(content)
        if (lane.isOpen) {
          waits.push(lane.standstill.whenOver(go))
          continue
        }
        const ticket = lane.pass(user, go, fail)
        if (!('queue' in ticket)) return fail(SqlError.from(ticket))
        waits.push(() => {
          if (ticket.state === 'waiting') ticket.queue.leave(ticket)
        })
      }
      if (over) return
      wait.onWait?.(fail)
      this.#enterer.breakCycles()
    })
  }

  /** What is left of the patience with these contents, ms: none with one that has been away for long. */
  #patienceWith(closed: readonly Content[]): number {
    const now = this.#enterer.clock.monotonic()
    const away = closed.map((content) => now - (this.#enterer.lane(content).awaySince ?? now))
    return Math.max(0, PATIENCE_MS - Math.max(...away))
  }

  /** Enters these lanes at one moment. Resolves to false when one of them lost its backend meanwhile, or stands still: then none is held. */
  #hold(asked: readonly Content[], foreseen: readonly Content[], wait: EnterWait): Promise<boolean> {
    const { user } = this.#enterer
    const missing = [...asked, ...foreseen]
    return new Promise((resolve, reject) => {
      let over = false
      const end = (): void => {
        over = true
        this.#fail = this.#again = undefined
      }
      const giveBack = (): void => {
        end()
        for (const content of missing) this.#enterer.leave(content)
      }
      const fail = (error: Error): void => {
        if (over) return
        giveBack()
        reject(error)
      }
      const again = (): void => {
        if (over) return
        giveBack()
        resolve(false)
      }
      const granted = (): void => {
        if (over || missing.some((content) => !this.#enterer.holds(content))) return
        end()
        resolve(true)
      }
      this.#fail = fail
      this.#again = again
      for (const content of missing) {
        const go = (): void => queueMicrotask(granted)
        // What was only foreseen is not worth a failure, nor the wait for a failover.
        const drop = (): void => {
          missing.splice(missing.indexOf(content), 1)
          this.#enterer.leave(content)
          go()
        }
        const lane = this.#enterer.lane(content)
        const ticket = foreseen.includes(content)
          ? lane.hold(user, go, drop, drop)
          : lane.hold(user, go, fail, again)
        if (!('queue' in ticket)) return fail(SqlError.from(ticket))
        if (over) return lane.queue.leave(ticket)
        this.#enterer.entered(content, ticket)
      }
      if (missing.every((content) => this.#enterer.holds(content))) return
      wait.onWait?.(fail)
      this.#enterer.breakCycles()
    })
  }
}
