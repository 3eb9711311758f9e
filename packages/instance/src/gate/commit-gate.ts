/**
 * The commit gate keeps I1, durable before told: an answer leaves a primary only after all WAL up to its LSN is durable here and, while
 * synchronous replication is on, at the mirror.
 *
 * Made by the instance actor when it becomes primary; closed for ever when it is fenced, fails or stops. Waiters are released in the
 * order in which they came (the order of the lane), so an answer never overtakes the answer before it, and a read never
 * tells of a commit that is not durable yet.
 */
import type { Lsn, MirabelleError } from '@mirabelle/messages'

/** Called once: without an error when the LSN is durable where it has to be, with the error when the gate closed first. */
export type GateWaiter = (error?: MirabelleError) => void

export interface CommitGateOptions {
  /** WAL that is durable here already. */
  readonly localLsn: Lsn
  /** Whether commits wait for the mirror. */
  readonly syncRep: boolean
  /** Called after one or more waiters were released in one go: send what they collected. */
  readonly onReleased: () => void
}

export class CommitGate {
  readonly #onReleased: () => void
  /** Called when somebody begins to wait and nobody did before. */
  onWaiting: (() => void) | undefined
  #localLsn: Lsn
  #mirrorLsn: Lsn = 0
  #syncRep: boolean
  #mirrorAway = false
  #releasedLsn: Lsn = 0
  #closed: MirabelleError | undefined
  #lsns: Lsn[] = []
  #waiters: GateWaiter[] = []
  #head = 0

  constructor(options: CommitGateOptions) {
    this.#onReleased = options.onReleased
    this.#localLsn = options.localLsn
    this.#syncRep = options.syncRep
  }

  /** Whether commits wait for the mirror. */
  get syncRep(): boolean {
    return this.#syncRep
  }
  /** Durable here. */
  get localLsn(): Lsn {
    return this.#localLsn
  }
  /** Durable at the mirror, as it last said. */
  get mirrorLsn(): Lsn {
    return this.#mirrorLsn
  }
  /** Highest LSN that anybody was told of: a mirror that lacks it must not be called in sync (I2). */
  get releasedLsn(): Lsn {
    return this.#releasedLsn
  }
  /** Waiters not yet released. */
  get waiting(): number {
    return this.#waiters.length - this.#head
  }
  /** What the oldest waiter waits for; undefined when nobody does. */
  get nextLsn(): Lsn | undefined {
    return this.waiting === 0 ? undefined : this.#lsns[this.#head]
  }
  get closed(): boolean {
    return this.#closed !== undefined
  }

  /** Calls `waiter` when all WAL up to `lsn` may be told of, after all earlier waiters; at once when that is so already. */
  wait(lsn: Lsn, waiter: GateWaiter): void {
    if (this.#closed !== undefined) {
      waiter(this.#closed)
      return
    }
    if (this.waiting === 0 && lsn <= this.#limit()) {
      if (lsn > this.#releasedLsn) this.#releasedLsn = lsn
      waiter()
      return
    }
    this.#lsns.push(lsn)
    this.#waiters.push(waiter)
    if (this.waiting === 1) this.onWaiting?.()
  }

  /** As a promise; rejects when the gate closes. */
  passed(lsn: Lsn): Promise<void> {
    return new Promise((resolve, reject) => {
      this.wait(lsn, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }

  /** WAL up to `lsn` is durable here. */
  localDurable(lsn: Lsn): void {
    if (lsn <= this.#localLsn) return
    this.#localLsn = lsn
    this.#release()
  }

  /** The mirror says that WAL up to `lsn` is durable there. May go back when another mirror, or a recovered one, takes its place. */
  mirrorDurable(lsn: Lsn): void {
    this.#mirrorLsn = lsn
    if (this.#syncRep) this.#release()
  }

  /**
   * No stream of the mirror is there. While commits wait for it nothing is told then, reads included: the mirror may have been promoted, and this
   * may be a process that has just woken up (I4). Ends when it is back, or with `setSyncRep(false)`.
   */
  setMirrorAway(away: boolean): void {
    this.#mirrorAway = away
    this.#release()
  }

  /** Turns waiting for the mirror on or off. The caller has made that durable first. */
  setSyncRep(on: boolean): void {
    this.#syncRep = on
    this.#release()
  }

  /** Nothing is released any more: everyone who waits, or will, gets the error. */
  close(error: MirabelleError): void {
    if (this.#closed !== undefined) return
    this.#closed = error
    const waiters = this.#waiters.slice(this.#head)
    this.#lsns = []
    this.#waiters = []
    this.#head = 0
    for (const waiter of waiters) waiter(error)
  }

  #limit(): Lsn {
    if (this.#syncRep && this.#mirrorAway) return 0
    return this.#syncRep && this.#mirrorLsn < this.#localLsn ? this.#mirrorLsn : this.#localLsn
  }

  #release(): void {
    if (this.#closed !== undefined || this.waiting === 0) return
    if ((this.#lsns[this.#head] as Lsn) > this.#limit()) return
    // A waiter may come back to the gate (wait, close, setSyncRep), so nothing is kept in local variables across the call.
    while (this.waiting > 0 && (this.#lsns[this.#head] as Lsn) <= this.#limit()) {
      const lsn = this.#lsns[this.#head] as Lsn
      const waiter = this.#waiters[this.#head] as GateWaiter
      this.#head += 1
      if (lsn > this.#releasedLsn) this.#releasedLsn = lsn
      waiter()
    }
    if (this.waiting === 0) {
      this.#lsns = []
      this.#waiters = []
      this.#head = 0
    } else if (this.#head > 4096) {
      this.#lsns.splice(0, this.#head)
      this.#waiters.splice(0, this.#head)
      this.#head = 0
    }
    this.#onReleased()
  }
}
