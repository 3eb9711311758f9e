/**
 * One client session behind the front door (sql §6). Made by the SQL front end for each client; ends with the connection. It takes the
 * client's messages one by one, keeps what belongs to the session, and has its statements carried out.
 *
 * Promises: an answer for each message in order, then ReadyForQuery; nothing of the session outlives it: its transaction is rolled back and
 * what it runs is cancelled when the client goes.
 */
import {
  copyInResponse,
  Frontend,
  PgError,
  readCopyData,
  readCopyFail,
  readQuery,
  type CloseReason,
  type FrontendMessage,
  type FrontSession,
} from '@mirabelle/pgwire'
import type { Plan, PlannedStatement } from '@mirabelle/sql'
import { CopyChannel } from '../copy/copy-channel.ts'
import { SqlError } from '../errors.ts'
import { madeWayForRoles } from '../dtx/undone.ts'
import type { LaneUser } from '../lanes/lane-queue.ts'
import { errorOf, ExtendedQuery } from './extended-query.ts'
import { runQuery } from './hot-path.ts'
import { runStatement, simpleStatement } from './run-statement.ts'
import type { SessionActivity } from './session-directory.ts'
import type { SessionState } from './session-state.ts'
import { SessionTransaction } from './session-transaction.ts'
import { endImplicit, failTransaction } from './transaction-actions.ts'

const IDLE = { I: 'idle', T: 'idle in transaction', E: 'idle in transaction (aborted)' } as const

export class SqlSession implements FrontSession {
  readonly #state: SessionState
  readonly #extended: ExtendedQuery
  readonly #onClosed: () => void
  /** What runs now; further messages wait for it. */
  #running: Promise<void> | undefined
  /** Lets the next message come although the work goes on: the client sends COPY data now. */
  #letIn: (() => void) | undefined
  #channel: CopyChannel | undefined
  #extendedCopy = false
  #idleTimer: { clear(): void } | undefined
  /** Was to make way for a role change while a statement of it ran. */
  #mustMakeWay: SessionTransaction | undefined
  #closed = false
  readonly #beganAt: number
  #changedAt: number

  constructor(state: SessionState, onClosed: () => void) {
    this.#state = state
    this.#extended = new ExtendedQuery(state)
    this.#onClosed = onClosed
    this.#beganAt = this.#changedAt = state.services.ports.clock.now()
    state.openCopyIn = (columns) => this.#openCopyIn(columns)
  }

  handle(message: FrontendMessage): void | Promise<void> {
    this.#idleTimer?.clear()
    this.#idleTimer = undefined
    switch (message.type) {
      case Frontend.copyData:
        return this.#channel?.push(readCopyData(message))
      case Frontend.copyDone:
        return this.#endCopy((channel) => channel.done())
      case Frontend.copyFail:
        return this.#endCopy((channel) => channel.fail(readCopyFail(message)))
      default:
    }
    if (this.#channel !== undefined && !this.#channel.ended && this.#running !== undefined) {
      if (message.type === Frontend.sync || message.type === Frontend.flush) return undefined
      this.#channel.fail('another message came instead of COPY data')
    }
    if (this.#running !== undefined) return this.#running.then(() => this.handle(message))
    return this.#statement(message)
  }

  #statement(message: FrontendMessage): void | Promise<void> {
    switch (message.type) {
      case Frontend.query:
        return this.#query(message)
      case Frontend.sync:
        return this.#run(() => this.#extended.hotPath() ?? this.#extended.process('sync'))
      case Frontend.flush:
        return this.#run(() => this.#extended.process('flush'))
      case Frontend.functionCall:
        this.#state.tell(
          new SqlError('0A000', 'the function call protocol is not supported', {
            hint: 'Use SELECT function(…).',
          }),
        )
        return this.#state.ready()
      default:
        return this.#extended.keep(message) ? this.#run(() => this.#extended.process('flush')) : undefined
    }
  }

  #query(message: FrontendMessage): Promise<void> {
    const state = this.#state
    let text: string
    try {
      text = readQuery(message)
    } catch (error) {
      return this.#run(() => this.#failed(error))
    }
    if (this.#extended.pending)
      return this.#run(() => this.#extended.process('flush').then(() => this.#simple(text)))
    if (state.plain && state.own('statement_timeout') === 0) {
      const planned = state.services.planner.plan(text, state.view())
      const only = planned.length === 1 ? planned[0] : undefined
      if (only !== undefined) {
        const running = runQuery(state, only, message.bytes, () => this.#simple(text))
        if (running !== undefined) return this.#run(() => running)
      }
      return this.#run(() => this.#statements(planned, text))
    }
    return this.#run(() => this.#simple(text))
  }

  async #simple(text: string): Promise<void> {
    const state = this.#state
    try {
      state.slot.begin()
      await state.passGate()
    } catch (error) {
      return this.#failed(error)
    }
    await this.#statements(state.services.planner.plan(text, state.view()), text)
  }

  /** The statements of one Query message: one transaction unless they say otherwise. */
  async #statements(planned: readonly PlannedStatement[], text: string): Promise<void> {
    const state = this.#state
    const statements = planned.map((one) => simpleStatement(state, one, text))
    try {
      for (const statement of statements) {
        const { behindChange, plan } = statement.planned
        if (planned.length > 1 && state.transaction === undefined && belongsToTransaction(plan)) {
          state.transaction = new SessionTransaction(state, false, {})
        }
        await runStatement(
          state,
          behindChange === true ? await statement.planAgain() : statement,
          state.sink,
          true,
        )
      }
      await endImplicit(state)
    } catch (error) {
      return this.#failed(error)
    }
    state.ready()
  }

  async #failed(thrown: unknown): Promise<void> {
    const error = errorOf(thrown)
    this.#state.tell(error)
    await failTransaction(this.#state, error)
    this.#state.ready()
  }

  /** Runs work that ends with its own answer. The promise lets the next message in: at the end, or when COPY data is wanted. */
  #run(work: () => Promise<void>): Promise<void> {
    const running = work().finally(() => {
      this.#running = undefined
      this.#changedAt = this.#state.services.ports.clock.now()
      this.#channel = undefined
      this.#armIdleTimer()
      const asked = this.#mustMakeWay
      this.#mustMakeWay = undefined
      if (asked !== undefined && asked === this.#state.transaction) void this.preempt()
    })
    this.#running = running
    return this.#untilNext(running)
  }

  #untilNext(running: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#letIn = resolve
      running.then(resolve, reject)
    })
  }

  #openCopyIn(columns: number): CopyChannel {
    const channel = new CopyChannel()
    this.#channel = channel
    this.#extended.copyBegan()
    this.#state.connection.send(copyInResponse(0, columns))
    this.#letIn?.()
    return channel
  }

  #endCopy(end: (channel: CopyChannel) => void): Promise<void> | undefined {
    const channel = this.#channel
    // The COPY has ended with an error already: what is left of it is dropped.
    if (channel === undefined || this.#running === undefined) return this.#running
    end(channel)
    return this.#untilNext(this.#running)
  }

  #armIdleTimer(): void {
    const state = this.#state
    if (this.#closed || state.transaction?.explicit !== true) return
    const timeout = state.own('idle_in_transaction_session_timeout')
    if (timeout <= 0) return
    this.#idleTimer = state.services.ports.clock.setTimer(timeout, () => {
      state.connection.fatal(
        new PgError({
          severity: 'FATAL',
          code: '25P03',
          message: 'terminating connection due to idle-in-transaction timeout',
        }),
      )
    })
  }

  get activity(): SessionActivity {
    const { connection, sessionUser, settings, statement, transaction, status } = this.#state
    const active = this.#running !== undefined
    return {
      pid: connection.pid,
      user: sessionUser,
      applicationName: settings.get('application_name') ?? '',
      peer: connection.peer,
      beganAt: this.#beganAt,
      transactionAt: transaction?.beganAt ?? (active ? statement?.at : undefined),
      sql: statement?.sql ?? '',
      statementAt: statement?.at,
      changedAt: active ? (statement?.at ?? this.#changedAt) : this.#changedAt,
      state: active ? 'active' : IDLE[status],
      lanes: transaction?.lanes ?? [],
    }
  }

  cancel(): void {
    this.#state.slot.fire('user')
  }

  /** True when this user of lanes is the open transaction of this session. */
  owns(user: LaneUser): boolean {
    return this.#state.transaction?.started === true && this.#state.transaction.is(user)
  }

  /** The open transaction makes way for a role change: it is rolled back, the client learns it with its next statement. */
  async preempt(): Promise<void> {
    const { transaction, slot } = this.#state
    if (transaction === undefined || transaction.dtx.ended) return
    if (this.#running !== undefined) {
      // It may be too late to stop the statement: then the transaction makes way when that has ended.
      this.#mustMakeWay = transaction
      return slot.fire('preempted')
    }
    const error = madeWayForRoles()
    transaction.untold = error
    await transaction.giveUp(error)
  }

  async close(_reason: CloseReason): Promise<void> {
    this.#closed = true
    this.#idleTimer?.clear()
    this.#state.slot.fire('closed')
    this.#channel?.fail('the client is gone')
    this.#onClosed()
    try {
      await this.#running
    } catch {
      // The connection has been told; here only the end of the work matters.
    }
    const { transaction } = this.#state
    this.#state.transaction = undefined
    await transaction?.rollback()
  }
}

/** Of several statements in one message: it is part of their transaction, and not one that begins or ends it, or is none of its business. */
function belongsToTransaction(plan: Plan): boolean {
  return plan.kind !== 'session' || ('local' in plan.action && plan.action.local)
}
