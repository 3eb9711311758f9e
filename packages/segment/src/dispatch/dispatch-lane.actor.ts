/**
 * The lane of one segment: statements of the coordinator in, to PostgreSQL in their order, answers out through the commit gate.
 *
 * Made by the segment; open while the instance is primary, each time anew with `open`; closed with `close` (fenced, stopped, failed).
 * Promises: at most one coordinator connection is current, and a newer one replaces it only when nothing of the older runs any more
 * (I4); an answer leaves only through the gate (I1); a transaction whose coordinator is gone is rolled back before anything else
 * runs, prepared ones stay (I6); own SQL never runs inside somebody's transaction. No answer is decoded here.
 */
import { statementFailure, type EnginePort, type EngineResult, type WalChunk } from '@mirabelle/engine'
import { DispatchFlag, MirabelleError, type Lsn, type SettledEntry } from '@mirabelle/messages'
import type { CommitGate, QuietLane } from '@mirabelle/instance'
import { withTimeout, type Clock, type Logger } from '@mirabelle/runtime'
import type { DispatchTuple, Item } from './item.ts'
import { OwnSql } from './own-sql.ts'
import type { Session } from './session.ts'

/** Most statements, and bytes of statements, that are received and not answered. A coordinator that sends more is cut off. */
export const MAX_PENDING = 10_000
export const MAX_PENDING_BYTES = 64 * 1024 * 1024
/** How long a statement may go on after its coordinator asked for its end, before the backend is restarted, ms. */
const CANCEL_GRACE_MS = 1_000
/** How long a new coordinator waits until nothing of the older one runs, ms. */
const RESET_MS = 30_000

export interface LaneOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly engine: EnginePort
  /** Statements that bring the backend back to how a new session finds it, once no transaction is open. */
  readonly resetSql: readonly string[]
}

/** What a lane needs of the primary that it opens on. */
export interface LanePrimary {
  readonly gate: CommitGate
  /** End of the WAL that has been written. */
  readonly endLsn: () => Lsn
  readonly generation: number
  /** PostgreSQL is in a state that the lane cannot go on from: the instance must end. */
  readonly onFatal: (error: unknown) => void
}

export class DispatchLane {
  readonly #options: LaneOptions
  readonly #own: OwnSql
  #primary: LanePrimary | undefined
  #session: Session | undefined
  /** With PostgreSQL, by dispatch seq. */
  #running = new Map<number, Item>()
  /** Received while the lane was held. */
  #held: Item[] = []
  #holds = 0
  #txStatus: EngineResult['txStatus'] = 'I'
  #generation = 0
  #used = false
  #resetting: Promise<void> = Promise.resolve()
  #idleWaiters: (() => void)[] = []

  constructor(options: LaneOptions) {
    this.#options = options
    this.#own = new OwnSql(options.engine)
  }

  /** Statements with PostgreSQL or before it. */
  get depth(): number {
    return this.#running.size + this.#held.length
  }
  get generation(): number {
    return this.#generation
  }

  /** The instance is primary. */
  open(primary: LanePrimary): void {
    this.#primary = primary
    this.#generation = primary.generation
    this.#txStatus = 'I'
  }

  /** The instance is primary no more: nothing is answered, the coordinator learns it from the end of its connection. */
  close(reason: MirabelleError): void {
    this.#primary = undefined
    this.#session?.end(reason)
    this.#session = undefined
    this.#held = []
    this.#running.clear()
    this.#wakeIdle()
  }

  /** Makes `session` the current one. Resolves when nothing of an older one runs and its transaction is rolled back. */
  async admit(session: Session): Promise<void> {
    this.#replace('a newer connection of a coordinator has opened the lane')
    this.#session = session
    await withTimeout(
      this.#options.clock,
      this.#resetting,
      RESET_MS,
      () =>
        new MirabelleError('not.ready', `statements of an older coordinator still run after ${RESET_MS} ms`),
    )
    if (this.#session !== session || session.dead || this.#primary === undefined) {
      throw new MirabelleError('connection.lost', 'the lane was taken over while it opened')
    }
  }

  /** Ends the current session, whoever it is. Resolves when nothing of it runs any more. */
  async evict(reason: MirabelleError): Promise<void> {
    this.#session?.end(reason)
    this.#lost()
    await this.#resetting
  }

  /** The connection of a session has ended. */
  left(session: Session): void {
    session.end(undefined)
    if (this.#session === session) this.#lost()
  }

  /** Statements came in. */
  dispatch(session: Session, tuples: readonly DispatchTuple[]): void {
    if (session !== this.#session || !session.opened) {
      throw new MirabelleError('message.bad', 'query.dispatch before dispatch.open was answered')
    }
    for (const [seq, syncs, preambleSyncs, flags, bytes] of tuples) {
      if (seq < session.nextSeq) {
        throw new MirabelleError('message.bad', `dispatch seq ${seq} came again; ${session.nextSeq} was next`)
      }
      session.nextSeq = seq + 1
      session.pending += 1
      session.pendingBytes += bytes.length
      if (session.pending > MAX_PENDING || session.pendingBytes > MAX_PENDING_BYTES) {
        // Refusing this one and taking the next would tear transactions apart: the coordinator loses the lane.
        throw new MirabelleError(
          'queue.full',
          `${session.pending} statements with ${session.pendingBytes} bytes wait for their answers; ${MAX_PENDING} and ${MAX_PENDING_BYTES} is the limit`,
        )
      }
      const asks = session.flags.read(seq, flags)
      const item: Item = { session, seq, syncs, preambleSyncs, flags, asks, bytes, cancelled: false }
      if (this.#holds > 0) this.#held.push(item)
      else this.#submit(item)
    }
  }

  cancel(session: Session, seq: number): void {
    if (session !== this.#session) return
    if (this.#running.has(seq)) {
      this.#options.engine.cancel(seq, CANCEL_GRACE_MS)
      return
    }
    const at = this.#held.findIndex((one) => one.seq === seq)
    const item = this.#held[at]
    if (item === undefined) return
    if (item.asks.inTransaction === true) {
      item.cancelled = true
      return
    }
    this.#held.splice(at, 1)
    this.#tellFailed(item, 'cancelled', `statement ${seq} was cancelled before it ran`)
  }

  /** PostgreSQL is done with a statement that was received. */
  hasRun(seq: number): boolean {
    return !this.#running.has(seq) && !this.#held.some((one) => one.seq === seq)
  }

  /** Which statements of a chunk of WAL are a coordinator's. */
  settledOf(chunk: WalChunk): SettledEntry[] {
    const settled: SettledEntry[] = []
    // Numbers of a coordinator are 0 and up, the instance's own are negative.
    for (const one of chunk.completed) if (one.tag >= 0) settled.push([one.tag, one.lsn, one.output ?? null])
    return settled
  }

  /** Answers left the gate: they go out in one frame. */
  flush(): void {
    this.#session?.flush()
  }

  /** Resolves at a moment when nothing runs or waits and no transaction is open. */
  async quiesced(): Promise<void> {
    while (this.depth > 0 || this.#txStatus !== 'I' || (this.#primary?.gate.waiting ?? 0) > 0) {
      if (this.#primary === undefined) return
      await this.#idle()
      await this.#primary?.gate.passed(0).catch(() => undefined)
    }
  }

  /** The instance's own SQL: holds new statements back, waits for those that run, and looks whether a transaction is open. */
  readonly quietLane: QuietLane = async (work, deadlineMs) => {
    const { clock } = this.#options
    const until = clock.monotonic() + deadlineMs
    for (;;) {
      this.#holds += 1
      const quiet = await this.#drained(until - clock.monotonic())
      if (quiet && this.#txStatus === 'I' && this.#primary !== undefined) break
      this.#letGo()
      if (!quiet || this.#primary === undefined || clock.monotonic() >= until) return false
      await this.#nextAnswer(until - clock.monotonic())
    }
    try {
      await work((sql) => this.#own.rows(sql))
      return true
    } finally {
      this.#letGo()
    }
  }

  // ---- statements ---------------------------------------------------------------------------------------------------------

  #submit(item: Item): void {
    const primary = this.#primary as LanePrimary
    this.#running.set(item.seq, item)
    this.#used = true
    this.#options.engine
      .submit({
        bytes: item.bytes,
        syncs: item.syncs,
        preambleSyncs: item.preambleSyncs,
        tag: item.seq,
        ...item.asks,
        ...((item.flags & DispatchFlag.stream) !== 0
          ? { onOutput: item.session.window(item.seq, () => primary.gate.passed(primary.endLsn())).take }
          : undefined),
      })
      .then(
        (result) => this.#ran(item, result),
        (error: unknown) => this.#broke(item, error),
      )
    if (item.cancelled) this.#options.engine.cancel(item.seq, CANCEL_GRACE_MS)
  }

  #ran(item: Item, result: EngineResult): void {
    this.#running.delete(item.seq)
    this.#txStatus = result.txStatus
    this.#generation = result.generation
    if (!item.session.dead && this.#primary !== undefined) {
      this.#primary.gate.wait(result.lsn, (error) => {
        if (error === undefined) this.#answered(item).done(item.seq, result)
      })
    }
    if (this.#idleWaiters.length > 0) this.#wakeIdle()
  }

  #broke(item: Item, error: unknown): void {
    this.#running.delete(item.seq)
    const failure = statementFailure(error)
    if (failure.code === null) this.#laneLost(error)
    else this.#tellFailed(item, failure.code, failure.message)
    // A backend that was restarted has no transaction; one that was not says so with the next answer.
    this.#wakeIdle()
  }

  #tellFailed(item: Item, code: string, message: string): void {
    if (item.session.dead || this.#primary === undefined) return
    // Through the gate too, so that it does not overtake the answers before it.
    this.#primary.gate.wait(0, (closed) => {
      if (closed === undefined) this.#answered(item).failed(item.seq, code, message)
    })
  }

  #answered(item: Item): Session {
    item.session.pending -= 1
    item.session.pendingBytes -= item.bytes.length
    return item.session
  }

  #laneLost(cause: unknown): void {
    const message = cause instanceof Error ? cause.message : String(cause)
    const reason = new MirabelleError('engine.died', `the lane is lost: ${message}`, { cause })
    this.#session?.end(reason)
    this.#session = undefined
  }

  // ---- sessions -----------------------------------------------------------------------------------------------------------

  #replace(why: string): void {
    if (this.#session === undefined) return
    this.#session.end(new MirabelleError('connection.lost', why))
    this.#lost()
  }

  /** The current session is gone: its statements end, its transaction is rolled back, and only then anything else runs. */
  #lost(): void {
    const session = this.#session
    if (session === undefined) return
    this.#session = undefined
    this.#held = this.#held.filter((item) => item.session !== session)
    for (const seq of this.#running.keys()) this.#options.engine.cancel(seq, CANCEL_GRACE_MS)
    if (!this.#used || this.#primary === undefined) return
    this.#holds += 1
    this.#resetting = this.#resetting.then(() => this.#reset()).finally(() => this.#letGo())
  }

  async #reset(): Promise<void> {
    const primary = this.#primary
    await this.#drained(Number.POSITIVE_INFINITY)
    if (this.#primary === undefined || this.#primary !== primary) return
    try {
      await this.#own.rollback()
      for (const sql of this.#options.resetSql) await this.#own.rows(sql)
      this.#txStatus = 'I'
      this.#used = false
      this.#options.log.info({}, 'the coordinator left the lane: its transaction, if any, is rolled back')
    } catch (error) {
      if (this.#primary === primary) this.#primary?.onFatal(error)
    }
  }

  // ---- holding ------------------------------------------------------------------------------------------------------------

  #letGo(): void {
    this.#holds -= 1
    if (this.#holds > 0 || this.#held.length === 0) return
    const held = this.#held
    this.#held = []
    for (const item of held) if (!item.session.dead && this.#primary !== undefined) this.#submit(item)
  }

  /** True once PostgreSQL has nothing to do; false after `ms`. */
  async #drained(ms: number): Promise<boolean> {
    const { clock } = this.#options
    const until = clock.monotonic() + ms
    while (this.#running.size > 0) {
      const left = until - clock.monotonic()
      if (left <= 0) return false
      await this.#nextAnswer(left)
    }
    return true
  }

  /** Resolves with the next answer of PostgreSQL, or after `ms`. */
  #nextAnswer(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = Number.isFinite(ms) ? this.#options.clock.setTimer(Math.max(0, ms), resolve) : undefined
      this.#idleWaiters.push(() => {
        timer?.clear()
        resolve()
      })
    })
  }

  #idle(): Promise<void> {
    return this.depth === 0 && this.#txStatus === 'I' ? Promise.resolve() : this.#nextAnswer(1_000)
  }

  #wakeIdle(): void {
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const wake of waiters) wake()
  }
}
