/**
 * One lane: the queue of a content, the backend at its end, and what is under way between them.
 *
 * Made once per content by the dispatcher; lives as long as the coordinator. `attach` gives it a backend (again after each failover);
 * losing the backend closes the queue, keeps what was under way, and asks for a new one through `onLost`.
 *
 * Promise: an item is answered once, in the order of the lane. An autocommit statement survives the loss of its backend: it is
 * answered with what took effect, or run again if it did not; only when neither can be known it ends as `unknown` (sql §3).
 */
import { MirabelleError, type Content } from '@mirabelle/messages'
import type { Clock, Logger, Timer } from '@mirabelle/runtime'
import { BackendState } from './backend-state.ts'
import type { BackendEvents, LaneBackend, OpenBackend } from './lane-backend.ts'
import { LaneLost, type LaneItem, type LaneResult } from './lane-item.ts'
import { LaneQueue, type LaneTicket, type LaneUser } from './lane-queue.ts'
import { withoutPreparation, firstErrorCode } from './backend-bytes.ts'

/** One item under way. */
export interface LaneRun {
  readonly promise: Promise<LaneResult>
  /** Takes the item out of the queue, or cancels it where it runs; the promise rejects or carries 57014. */
  cancel(): void
}

interface Sent {
  readonly item: LaneItem
  readonly resolve: (result: LaneResult) => void
  readonly reject: (error: Error) => void
  seq: number
  prepares: string | undefined
}

export interface LaneOptions {
  readonly content: Content
  readonly clock: Clock
  readonly log: Logger
  /** How long waiters may wait for a backend, ms. */
  readonly failoverTimeoutMs: () => number
  /** The backend is gone; attach another one. */
  readonly onLost: (content: Content, reason: MirabelleError) => void
}

/** Anonymous user of passes: it holds nothing, so it is never part of a deadlock. */
const PASSER: LaneUser = { age: 0, requeueable: true, deadlockVictim() {} }

export class Lane {
  readonly content: Content
  readonly queue: LaneQueue
  readonly #options: LaneOptions
  #backend: LaneBackend | undefined
  #state: BackendState | undefined
  #nextSeq = 1
  /** In order of dispatch. */
  #sent = new Map<number, Sent>()
  /** What was under way when the last backend was lost, in order. */
  #orphans: Sent[] = []
  #unavailable: MirabelleError | undefined
  #outage: Timer | undefined
  #attaching = false
  #term = 0

  constructor(options: LaneOptions) {
    this.content = options.content
    this.#options = options
    this.queue = new LaneQueue(options.content)
    this.#beginOutage()
  }

  /** True while statements can be sent. */
  get isOpen(): boolean {
    return this.queue.isOpen
  }
  /** Items sent and not answered. */
  get inFlight(): number {
    return this.#sent.size
  }
  /** Grows by one with each loss of a backend: a transaction that began under an older number is gone. */
  get term(): number {
    return this.#term
  }
  /** Why nothing can be served, once that is certain. */
  get unavailable(): MirabelleError | undefined {
    return this.#unavailable
  }

  /** Runs an autocommit item in its turn. */
  run(item: LaneItem): LaneRun {
    if (this.queue.free) return this.send(item)
    if (this.#unavailable !== undefined) return rejected(this.#unavailable)
    if (this.queue.full) {
      return rejected(
        new MirabelleError(
          'queue.full',
          `content ${this.content}: too many statements wait (${this.queue.waiting.length})`,
        ),
      )
    }
    let under: LaneRun | undefined
    let ticket: LaneTicket | undefined
    let abandon: (error: Error) => void = () => {}
    const promise = new Promise<LaneResult>((resolve, reject) => {
      abandon = reject
      ticket = this.queue.enter(
        PASSER,
        false,
        () => {
          under = this.send(item)
          under.promise.then(resolve, reject)
        },
        reject,
      )
    })
    return {
      promise,
      cancel: () => {
        if (under !== undefined) under.cancel()
        else {
          if (ticket !== undefined) this.queue.leave(ticket)
          abandon(new MirabelleError('cancelled', 'canceling statement due to user request'))
        }
      },
    }
  }

  /** Sends an item now. Only for who holds the lane, or for `run`. */
  send(item: LaneItem): LaneRun {
    let sent: Sent | undefined
    const promise = new Promise<LaneResult>((resolve, reject) => {
      sent = { item, resolve, reject, seq: 0, prepares: undefined }
      if (this.#backend === undefined || !this.queue.isOpen)
        reject(new LaneLost(this.content, 'no', 'the segment is failing over'))
      else this.#dispatch(sent)
    })
    return {
      promise,
      cancel: () => {
        if (sent !== undefined && this.#sent.has(sent.seq)) this.#backend?.cancel(sent.seq)
      },
    }
  }

  /** Enters the queue to hold the lane. */
  hold(user: LaneUser, go: () => void, fail: (error: Error) => void): LaneTicket | MirabelleError {
    if (this.#unavailable !== undefined) return this.#unavailable
    return this.queue.enter(user, true, go, fail)
  }

  /**
   * Gives the lane a backend. `resolve` runs before anything else may (I6): it gets a way to run statements on the new backend and ends
   * the prepared transactions that it finds there; if it rejects, the lane stays closed. Rejects when the backend could not be opened.
   */
  async attach(
    open: OpenBackend,
    resolve: (run: (item: LaneItem) => Promise<LaneResult>) => Promise<void>,
  ): Promise<void> {
    if (this.#attaching || this.#backend !== undefined) return
    this.#attaching = true
    try {
      const backend = await open(this.#events(), this.#nextSeq)
      this.#backend = backend
      this.#state = new BackendState(backend.generation)
      try {
        await resolve((item) => this.#sendRaw(item))
        await this.#settleOrphans(backend)
      } catch (error) {
        if (this.#backend === backend) {
          this.#backend = undefined
          backend.close()
        }
        throw error
      }
      if (this.#backend !== backend)
        throw new MirabelleError('connection.lost', `content ${this.content}: lost while it opened`)
      this.#endOutage()
      this.queue.open()
    } finally {
      this.#attaching = false
    }
  }

  /** Drops the backend (its instance is no longer the primary); `onLost` is not called. */
  detach(reason: MirabelleError): void {
    const backend = this.#backend
    if (backend === undefined) return
    this.#lose(reason, false)
    backend.close()
  }

  /** Drops the backend and asks for it anew: something is left on it that only the resolver can end. */
  reopen(why: string): void {
    const backend = this.#backend
    if (backend === undefined) return
    this.#lose(new MirabelleError('connection.lost', `content ${this.content}: ${why}`), true)
    backend.close()
  }

  /** Says for certain that the content cannot be served now: whoever waits gets the error, newcomers too, until `attach` succeeds. */
  setUnavailable(error: MirabelleError): void {
    this.#unavailable = error
    this.#outage?.clear()
    this.#outage = undefined
    if (this.#backend !== undefined) return
    this.queue.failWaiting(error)
    const orphans = this.#orphans
    this.#orphans = []
    for (const orphan of orphans) {
      orphan.reject(orphan.item.write ? new LaneLost(this.content, 'unknown', error.message) : error)
    }
  }

  #dispatch(sent: Sent): void {
    const seq = this.#nextSeq++
    const encoded = (this.#state as BackendState).encode(sent.item)
    sent.seq = seq
    sent.prepares = encoded.prepares
    this.#sent.set(seq, sent)
    sent.item.onSent?.(seq)
    ;(this.#backend as LaneBackend).send(
      seq,
      encoded.bytes,
      encoded.syncs,
      encoded.preambleSyncs,
      sent.item.onOutput !== undefined,
    )
  }

  #sendRaw(item: LaneItem): Promise<LaneResult> {
    return new Promise((resolve, reject) => {
      if (this.#backend === undefined) reject(new LaneLost(this.content, 'no', 'lost while it opened'))
      else this.#dispatch({ item, resolve, reject, seq: 0, prepares: undefined })
    })
  }

  #events(): BackendEvents {
    return {
      onDone: (seq, result) => {
        const sent = this.#sent.get(seq)
        if (sent === undefined) return
        this.#sent.delete(seq)
        this.#state?.sawGeneration(result.generation)
        let output = result.output
        if (sent.prepares !== undefined) {
          const cut = withoutPreparation(output)
          this.#state?.prepared(sent.prepares, cut.prepared)
          output = cut.output
        }
        // A SET that was part of a failed or rolled back (sub)transaction is undone on the backend. Items without settings of their own are
        // the control statements of transactions.
        if (result.txStatus === 'E' || (sent.item.whenLost === 'fail' && sent.item.settings === undefined))
          this.#state?.forgetSettings()
        else if (
          sent.item.settings !== undefined &&
          sent.item.settings.key !== '' &&
          firstErrorCode(output) !== undefined
        ) {
          this.#state?.forgetSettings()
        }
        sent.resolve({ output, lsn: result.lsn, txStatus: result.txStatus })
      },
      onFailed: (seq, error) => {
        const sent = this.#sent.get(seq)
        if (sent === undefined) return
        this.#sent.delete(seq)
        this.#state?.forgetSettings()
        if (sent.prepares !== undefined) this.#state?.prepared(sent.prepares, false)
        sent.reject(error)
      },
      onOutput: (seq, chunk) => this.#sent.get(seq)?.item.onOutput?.(chunk),
      onLost: (reason) => {
        this.#lose(reason, true)
      },
    }
  }

  #lose(reason: MirabelleError, tell: boolean): void {
    if (this.#backend === undefined) return
    this.#backend = undefined
    this.#state = undefined
    this.#term++
    this.queue.close()
    this.#beginOutage()
    const under = [...this.#sent.values()]
    this.#sent = new Map()
    for (const sent of under) {
      if (sent.item.whenLost === 'fail') {
        sent.reject(new LaneLost(this.content, 'unknown', `the segment failed over (${reason.message})`))
      } else this.#orphans.push(sent)
    }
    this.#options.log.warn(
      { content: this.content, underWay: under.length, code: reason.code },
      `lane lost: ${reason.message}`,
    )
    if (tell) this.#options.onLost(this.content, reason)
  }

  async #settleOrphans(backend: LaneBackend): Promise<void> {
    const orphans = this.#orphans
    if (orphans.length === 0) return
    const writers = orphans.filter((one) => one.item.write)
    const known =
      writers.length === 0 ? { floor: 0, settled: [] } : await backend.settled(writers.map((one) => one.seq))
    const settled = new Map(known.settled.map((entry) => [entry[0], entry]))
    this.#orphans = []
    const counts = { answered: 0, again: 0, unknown: 0 }
    for (const orphan of orphans) {
      const entry = settled.get(orphan.seq)
      if (entry !== undefined) {
        counts.answered++
        if (entry[2] === null)
          orphan.reject(
            new LaneLost(
              this.content,
              'yes',
              'the statement took effect but its answer was lost in a failover',
            ),
          )
        else {
          const output = orphan.prepares === undefined ? entry[2] : withoutPreparation(entry[2]).output
          orphan.resolve({ output, lsn: entry[1], txStatus: 'I' })
        }
      } else if (orphan.item.write && orphan.seq < known.floor) {
        counts.unknown++
        orphan.reject(
          new LaneLost(this.content, 'unknown', 'the outcome of the statement was lost in a failover'),
        )
      } else if (orphan.item.whenLost === 'rerun') {
        counts.again++
        this.#dispatch(orphan)
      } else
        orphan.reject(
          new LaneLost(this.content, 'no', 'the statement did not take effect before the failover'),
        )
    }
    this.#options.log.info(
      { content: this.content, ...counts },
      'statements under way at the failover are settled',
    )
  }

  #beginOutage(): void {
    const limit = this.#options.failoverTimeoutMs()
    this.#outage?.clear()
    this.#outage = this.#options.clock.setTimer(limit, () => {
      this.setUnavailable(
        new MirabelleError(
          'content.unavailable',
          `content ${this.content} could not be reached for ${limit} ms: see "mirabelle state"`,
        ),
      )
    })
  }

  #endOutage(): void {
    this.#outage?.clear()
    this.#outage = undefined
    this.#unavailable = undefined
  }

  /** Ends the timers (the coordinator stops). */
  close(error: MirabelleError): void {
    this.detach(error)
    this.setUnavailable(error)
  }
}

function rejected(error: Error): LaneRun {
  return { promise: Promise.reject(error), cancel() {} }
}
