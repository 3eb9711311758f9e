/**
 * One lane: the queue of a content, the backend at its end, and what is under way between them.
 *
 * Made once per content by the dispatcher; lives as long as the coordinator. `attach` gives it a backend (again after each failover);
 * losing the backend closes the queue, keeps what was under way, and asks for a new one through `onLost`.
 *
 * Promise: an item is answered once, in the order of the lane. An autocommit statement survives the loss of its backend: it is
 * answered with what took effect, or run again if it did not; only when neither can be known it ends as `unknown` (sql §3).
 */
import { DispatchFlag, MirabelleError, type Content } from '@mirabelle/messages'
import type { Clock, Logger } from '@mirabelle/runtime'
import type { BackendState } from './backend-state.ts'
import type { BackendEvents, LaneBackend, OpenBackend } from './lane-backend.ts'
import { LaneLine } from './lane-line.ts'
import { flagsOf, LaneLost, type LaneItem, type LaneResult } from './lane-item.ts'
import { rejectedRun, type LaneRun } from './lane-run.ts'
import { LaneQueue, PASSER, type LaneTicket, type LaneUser } from './lane-queue.ts'
import { withoutPreparation } from './backend-bytes.ts'
import { Orphans } from './orphans.ts'
import { Outage } from './outage.ts'
import { runAgain } from './run-again.ts'
import {
  BEGUN_IN_VAIN,
  cancelledByUser,
  endUnheard,
  isRead,
  lacksSettings,
  lacksStatement,
  mayUndoSettings,
  sentOf,
  staysBack,
  type Sent,
} from './sent.ts'
import { Standstill } from './standstill.ts'

export interface LaneOptions {
  readonly content: Content
  readonly clock: Clock
  readonly log: Logger
  /** How long waiters may wait for a backend, ms. */
  readonly failoverTimeoutMs: () => number
  /** The backend is gone; attach another one. */
  readonly onLost: (content: Content, reason: MirabelleError) => void
  /** Statements can be sent (again). */
  readonly onOpen?: (content: Content) => void
}

/** How long a cancelled read waits for its segment to say so. A write waits for as long as it takes: nobody could say what became of it. */
const UNHEARD_CANCEL_MS = 1_000

export class Lane {
  readonly content: Content
  readonly queue: LaneQueue
  readonly standstill = new Standstill()
  readonly #options: LaneOptions
  #line: LaneLine | undefined
  #nextSeq = 1
  /** In order of dispatch. */
  #sent = new Map<number, Sent>()
  readonly #orphans: Orphans
  readonly #outage: Outage
  #closed = false
  #term = 0
  #beside: { readonly go: (line: LaneLine) => void; readonly fail: (error: Error) => void }[] = []
  readonly #again = (sent: Sent) => runAgain(this.queue, sent, () => this.#line?.window?.add(sent))

  constructor(options: LaneOptions) {
    this.content = options.content
    this.#options = options
    this.queue = new LaneQueue(options.content)
    this.#orphans = new Orphans(options.content, options.log)
    this.#outage = new Outage({ ...options, onOver: (error) => this.setUnavailable(error) })
    this.#outage.hope()
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
  /** Since when nothing is answered, because the backend is gone or stands still; monotonic ms. */
  get awaySince(): number | undefined {
    return this.isOpen ? this.standstill.since : this.#outage.since
  }
  /** Why nothing can be served, once that is certain. An open lane serves, whatever was said of it. */
  get unavailable(): MirabelleError | undefined {
    return this.isOpen ? undefined : this.#outage.error
  }

  /** Runs an autocommit item in its turn. `user`: who waits for it, when that one holds other lanes meanwhile. */
  run(item: LaneItem, user: LaneUser = PASSER): LaneRun {
    if (this.queue.free) return this.send(item)
    const unavailable = this.unavailable
    if (unavailable !== undefined) return rejectedRun(unavailable)
    if (this.queue.full) {
      const text = `content ${this.content}: too many statements wait (${this.queue.waiting.length})`
      return rejectedRun(new MirabelleError('queue.full', text))
    }
    let under: LaneRun | undefined
    let ticket: LaneTicket | undefined
    let abandon: (error: Error) => void = () => {}
    const promise = new Promise<LaneResult>((resolve, reject) => {
      abandon = reject
      ticket = this.queue.enter(
        user,
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
          abandon(cancelledByUser())
        }
      },
    }
  }

  /** Sends an item now. Only for who holds the lane, or for `run`. */
  send(item: LaneItem): LaneRun {
    let sent: Sent | undefined
    const promise = new Promise<LaneResult>((resolve, reject) => {
      sent = sentOf(item, resolve, reject)
      if (this.#line === undefined || !this.queue.isOpen)
        reject(new LaneLost(this.content, 'no', 'the segment is failing over'))
      else this.#line.window?.add(sent)
    })
    return {
      promise,
      cancel: () => {
        if (sent !== undefined) this.#cancel(sent)
      },
    }
  }

  /** Enters the queue to hold the lane. */
  hold(
    user: LaneUser,
    go: () => void,
    fail: (error: Error) => void,
    whenClosed?: () => void,
  ): LaneTicket | MirabelleError {
    const unavailable = this.unavailable
    if (unavailable !== undefined) return unavailable
    return this.queue.enter(user, true, go, fail, whenClosed)
  }

  /** Waits for its turn and takes none: `go` is called when the lane is open and everyone ahead has had theirs. */
  pass(user: LaneUser, go: () => void, fail: (error: Error) => void): LaneTicket | MirabelleError {
    return this.unavailable ?? this.queue.enter(user, false, go, fail)
  }

  /** Looks whether the backend stands still: what is longest under way, and has been for `ms`, is answered no more. */
  async standsStill(ms: number): Promise<boolean> {
    if (this.standstill.lasts) return true
    const line = this.#line
    const [sent] = this.#sent.values()
    const backend = line?.backend
    const { clock } = this.#options
    if (sent === undefined || backend === undefined || clock.monotonic() - sent.at < ms) return false
    const hasRun = () => backend.hasRun(sent.seq)
    const isUnderWay = (): boolean => this.#line === line && this.#sent.get(sent.seq) === sent
    const found = await this.standstill.look(clock, sent.at, hasRun, isUnderWay)
    if (found) this.queue.tellWaiting()
    return found
  }

  /**
   * Gives the lane a backend. `resolve` runs before anything else may (I6): it gets a way to run statements on the new backend and ends
   * the prepared transactions that it finds there; if it rejects, the lane stays closed. Rejects when the backend could not be opened.
   */
  async attach(
    open: OpenBackend,
    resolve: (run: (item: LaneItem) => Promise<LaneResult>) => Promise<void>,
  ): Promise<void> {
    if (this.#line !== undefined || this.#closed) return
    const line: LaneLine = new LaneLine(this.content, (sent) => this.#dispatch(line, sent))
    this.#line = line
    try {
      const backend = await line.open(open(this.#events(line), this.#nextSeq))
      for (const { go } of this.#beside.splice(0)) go(line)
      await line.during(resolve((item) => this.#sendRaw(line, item)))
      await this.#orphans.settle(line, backend, this.#again)
      if (line.over !== undefined) throw line.over
    } catch (error) {
      // Nothing was open yet, so nobody but the caller needs to hear of it.
      this.#end(
        line,
        error instanceof MirabelleError
          ? error
          : new MirabelleError(
              'connection.lost',
              `content ${this.content}: the lane could not be opened: ${String(error)}`,
              { cause: error },
            ),
        false,
      )
      line.backend?.close()
      throw error
    }
    this.#outage.end()
    this.queue.open()
    this.#options.onOpen?.(this.content)
  }

  /** Runs the runtime's own beside what is prepared, in tables that no client locks: the resolver may wait for a content, and that for just this. */
  runBeside(item: LaneItem): Promise<LaneResult> {
    const line = this.#line
    if (line?.backend !== undefined) return this.#sendRaw(line, item)
    if (this.#outage.error !== undefined) return Promise.reject(this.#outage.error)
    return new Promise((resolve, fail) => {
      this.#beside.push({ go: (next) => void this.#sendRaw(next, item).then(resolve, fail), fail })
    })
  }

  /** Drops the backend, or the attempt to open one (its instance is no longer the primary); `onLost` is not called. */
  detach(reason: MirabelleError): void {
    this.#drop(reason, false)
  }

  /** Drops the backend and asks for it anew: something is left on it that only the resolver can end. */
  reopen(why: string): void {
    this.#drop(new MirabelleError('connection.lost', `content ${this.content}: ${why}`), true)
  }

  #drop(reason: MirabelleError, tell: boolean): void {
    const line = this.#line
    if (line === undefined) return
    this.#end(line, reason, tell)
    line.backend?.close()
  }

  /**
   * Says for certain that the content cannot be served now: whoever waits gets the error, newcomers too, until `attach` succeeds. While the
   * lane is still open it serves; the error counts from its loss on.
   */
  setUnavailable(error: MirabelleError): void {
    this.#outage.error = error
    if (this.isOpen) return
    this.#outage.stop()
    this.queue.failWaiting(error)
    for (const { fail } of this.#beside.splice(0)) fail(error)
    this.#orphans.giveUp(error)
  }

  /** Takes `setUnavailable` back: there is hope again, so newcomers wait. */
  setAvailable(): void {
    if (this.#outage.error === undefined || this.#closed) return
    this.#outage.error = undefined
    if (!this.isOpen) this.#outage.hope()
  }

  #dispatch(line: LaneLine, sent: Sent): void {
    const backend = line.backend as LaneBackend
    const seq = this.#nextSeq++
    const encoded = (line.state as BackendState).encode(sent.item)
    sent.seq = seq
    sent.at = this.#options.clock.monotonic()
    sent.prepares = encoded.prepares
    sent.needsSettings = (encoded.flags & DispatchFlag.needsSettings) !== 0
    this.#sent.set(seq, sent)
    sent.item.onSent?.(seq)
    const flags = flagsOf(sent.item) | encoded.flags
    backend.send(seq, encoded.bytes, encoded.syncs, encoded.preambleSyncs, flags)
    // It had to wait for room, and what comes behind it must not run without it.
    if (sent.cancelled) backend.cancel(seq)
  }

  #cancel(sent: Sent): void {
    // Also when the backend is lost before it has heard of it: the statement does not run again.
    sent.cancelled = true
    if (this.#sent.get(sent.seq) !== sent) {
      if (this.#line?.window?.cancel(sent) !== true) this.#orphans.cancel(sent)
      return
    }
    this.#line?.backend?.cancel(sent.seq)
    if (isRead(sent)) this.#options.clock.setTimer(UNHEARD_CANCEL_MS, () => endUnheard(sent))
  }

  #sendRaw(line: LaneLine, item: LaneItem): Promise<LaneResult> {
    return new Promise((resolve, reject) => {
      if (line.over !== undefined) reject(new LaneLost(this.content, 'no', 'lost while it opened'))
      else line.window?.add(sentOf(item, resolve, reject))
    })
  }

  #events(line: LaneLine): BackendEvents {
    /** What was sent on this line and not answered; what an older backend still says finds nothing. */
    const take = (seq: number): Sent | undefined => {
      const sent = line.over === undefined ? this.#sent.get(seq) : undefined
      if (sent === undefined) return undefined
      this.#sent.delete(seq)
      line.window?.answered(sent)
      this.standstill.over()
      return sent
    }
    return {
      onDone: (seq, result) => {
        const sent = take(seq)
        if (sent === undefined) return
        line.state?.sawGeneration(result.generation)
        let output = result.output
        if (lacksSettings(sent, output)) {
          line.state?.forgetSettings()
          return this.#runAgain(line, sent)
        }
        if (lacksStatement(sent, output)) {
          line.state?.prepared(sent.item.statement?.name ?? '', false)
          if (sent.item.lead === undefined) return this.#runAgain(line, sent)
          output = BEGUN_IN_VAIN
        }
        if (sent.prepares !== undefined) {
          const cut = withoutPreparation(output)
          line.state?.prepared(sent.prepares, cut.prepared)
          output = cut.output
        }
        if (mayUndoSettings(sent, result.txStatus, output)) line.state?.forgetSettings()
        sent.resolve({ output, lsn: result.lsn, txStatus: result.txStatus })
      },
      onFailed: (seq, error) => {
        const sent = take(seq)
        if (sent === undefined) return
        line.state?.forgetSettings()
        if (sent.prepares !== undefined) line.state?.prepared(sent.prepares, false)
        sent.reject(error)
      },
      onOutput: (seq, chunk) => {
        const sent = line.over === undefined ? this.#sent.get(seq) : undefined
        if (sent === undefined) return
        sent.streamed = true
        return sent.over ? undefined : sent.item.onOutput?.(chunk)
      },
      onLost: (reason) => {
        this.#end(line, reason, true)
      },
    }
  }

  /** It did not run; now it runs, with what it lacked. */
  #runAgain(line: LaneLine, sent: Sent): void {
    const behind = [...this.#sent.values(), ...(line.window?.waiting ?? [])]
    const error = staysBack(this.content, sent, behind)
    if (error === undefined) this.#again(sent)
    else sent.reject(error)
  }

  /** The line is gone: what was under way fails or waits for the next one. */
  #end(line: LaneLine, reason: MirabelleError, tell: boolean): void {
    if (this.#line !== line) return
    line.end(reason)
    this.#line = undefined
    this.#term++
    const wasOpen = this.isOpen
    this.queue.close()
    const under = [...this.#sent.values(), ...(line.window?.end() ?? [])]
    this.#sent = new Map()
    for (const sent of under) this.#orphans.add(sent, reason)
    this.standstill.over()
    this.queue.holder?.user.laneLost?.(this.content)
    if (wasOpen) {
      this.#outage.lost()
      this.#options.log.warn(
        { content: this.content, underWay: under.length, code: reason.code },
        `lane lost: ${reason.message}`,
      )
      if (this.#outage.error === undefined) this.#outage.hope()
      else this.setUnavailable(this.#outage.error)
    }
    if (tell) this.#options.onLost(this.content, reason)
  }

  /** Ends the timers (the coordinator stops). */
  close(error: MirabelleError): void {
    this.#closed = true
    this.detach(error)
    this.setUnavailable(error)
  }
}
