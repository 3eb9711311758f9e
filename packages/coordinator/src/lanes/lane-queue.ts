/**
 * The queue of one lane: the strictly serial order in which users enter it (sql §1).
 *
 * A *pass* sends something and leaves at once; a *hold* keeps the lane until it is released. Users are served in order of entry.
 * The queue knows nothing of connections: `open`/`close` say whether anything may enter.
 */

/** Who waits for lanes or holds them. */
export interface LaneUser {
  /** Order of start; the youngest has the largest number. */
  readonly age: number
  /** True while it has run nothing anywhere: it can go to the end of its queues without harm. */
  readonly requeueable: boolean
  /** It had its turn and has not run: it goes ahead of all who wait. */
  readonly hadItsTurn?: boolean
  /** It holds a lane to give it another primary, while the present one lives. */
  readonly switchesOver?: boolean
  /** Chosen as the victim of a deadlock. */
  deadlockVictim(): void
  /** The backend of a lane that it holds is gone; what it had begun there is undone. */
  laneLost?(content: number): void
  /** Somebody who cannot wait needs a lane that it holds: it ends as undone if it waits for the end of others and its own end is not decided. */
  makeWay?(): void
  /** Somebody has begun to wait for a lane that it holds. */
  othersWait?(): void
  /** A transaction of its own is open on this content, or was. */
  hasBegunOn?(content: number): boolean
}

/** Anonymous user of passes: it holds nothing, so it is never part of a deadlock. */
export const PASSER: LaneUser = { age: 0, requeueable: true, deadlockVictim() {} }

export interface LaneTicket {
  readonly user: LaneUser
  readonly queue: LaneQueue
  readonly hold: boolean
  readonly go: () => void
  readonly fail: (error: Error) => void
  /** Called when the lane closes, or stands still, while it waits: it may not want to wait for that. */
  readonly whenClosed?: (() => void) | undefined
  state: 'waiting' | 'holding' | 'gone'
}

export class LaneQueue {
  readonly content: number
  readonly #maxWaiting: number
  #open = false
  #waiting: LaneTicket[] = []
  #holder: LaneTicket | undefined

  constructor(content: number, maxWaiting = 20_000) {
    this.content = content
    this.#maxWaiting = maxWaiting
  }

  get isOpen(): boolean {
    return this.#open
  }
  get holder(): LaneTicket | undefined {
    return this.#holder
  }
  get waiting(): readonly LaneTicket[] {
    return this.#waiting
  }
  /** True when a pass may go at once. */
  get free(): boolean {
    return this.#open && this.#holder === undefined && this.#waiting.length === 0
  }
  get full(): boolean {
    return this.#waiting.length >= this.#maxWaiting
  }

  /** Lets users in again. */
  open(): void {
    this.#open = true
    this.#pump()
  }

  /** Nobody enters until `open`. A holder stays the holder. */
  close(): void {
    this.#open = false
    this.tellWaiting()
  }

  /** Nothing will go on here for a while: who does not want to wait for that leaves. */
  tellWaiting(): void {
    for (const { whenClosed } of [...this.#waiting]) whenClosed?.()
  }

  /** Joins the queue; `go` is called when it is this ticket's turn (possibly at once). */
  enter(
    user: LaneUser,
    hold: boolean,
    go: () => void,
    fail: (error: Error) => void,
    whenClosed?: () => void,
  ): LaneTicket {
    const ticket: LaneTicket = { user, queue: this, hold, go, fail, whenClosed, state: 'waiting' }
    this.#waiting.push(ticket)
    this.#pump()
    this.#tellHolder(ticket)
    return ticket
  }

  #tellHolder(ticket: LaneTicket): void {
    if (ticket.state === 'waiting') this.#holder?.user.othersWait?.()
  }

  /** Joins at the front: for the recording of role changes, which may not wait behind clients, and for what had its turn already. */
  enterFirst(user: LaneUser, go: () => void, fail: (error: Error) => void): LaneTicket {
    const ticket: LaneTicket = { user, queue: this, hold: true, go, fail, state: 'waiting' }
    this.#waiting.unshift(ticket)
    this.#pump()
    this.#tellHolder(ticket)
    return ticket
  }

  /** The holder begins anew: those that were there before it go now, one after the other. */
  letAheadGo(): void {
    for (let [first] = this.#waiting; first?.user.hadItsTurn === true; [first] = this.#waiting) {
      this.#waiting.shift()
      first.state = 'gone'
      first.go()
    }
  }

  /** Leaves the queue or gives the lane back. */
  leave(ticket: LaneTicket): void {
    if (ticket.state === 'waiting') this.#waiting = this.#waiting.filter((other) => other !== ticket)
    if (this.#holder === ticket) this.#holder = undefined
    ticket.state = 'gone'
    this.#pump()
  }

  /** Gives up the place of a ticket (held or waiting) and joins again at the end. */
  requeue(ticket: LaneTicket): void {
    if (this.#holder === ticket) this.#holder = undefined
    else this.#waiting = this.#waiting.filter((other) => other !== ticket)
    ticket.state = 'waiting'
    this.#waiting.push(ticket)
    this.#pump()
  }

  /** Everyone who waits is told to go away (the content cannot be served). */
  failWaiting(error: Error): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const ticket of waiting) {
      ticket.state = 'gone'
      ticket.fail(error)
    }
  }

  #pump(): void {
    while (this.#open && this.#holder === undefined) {
      const head = this.#waiting.shift()
      if (head === undefined) return
      if (head.hold) {
        this.#holder = head
        head.state = 'holding'
      } else head.state = 'gone'
      head.go()
    }
  }
}
