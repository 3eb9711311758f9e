/**
 * The extended protocol of one session: Parse, Bind, Describe, Execute, Close are kept until Sync or Flush, then carried out in order. What
 * is executed between two Syncs is one transaction, as in PostgreSQL; after an error everything up to the Sync is skipped.
 */
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  commandComplete,
  Frontend,
  NO_DATA,
  parameterDescription,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  readBind,
  readClose,
  readDescribe,
  readExecute,
  readParse,
  toPgError,
  PgError,
  type FrontendMessage,
} from '@mirabelle/pgwire'
import { SqlError } from '../errors.ts'
import { CollectingSink } from '../execute/sink.ts'
import { paramsOf, type Bound } from '../execute/statement.ts'
import type { Scope } from '../execute/scope.ts'
import { currentDescription, describeText } from './session-actions.ts'
import { describedRows, type Described } from './describe.ts'
import { runRound } from './extended-hot-path.ts'
import type { Prepared, SessionState } from './session-state.ts'
import { runStatement, type SessionStatement } from './run-statement.ts'
import { endImplicit, failTransaction } from './transaction-actions.ts'
import { SessionTransaction } from './session-transaction.ts'

interface Portal {
  readonly prepared: Prepared
  readonly described: Described
  readonly bound: Bound
  /** Rows that an Execute with a limit has left. */
  rest?: { readonly rows: Buffer[]; readonly tail: readonly Buffer[]; at: number }
  done?: boolean
}

/** So many messages, or bytes, are kept before they are carried out without waiting for Sync. */
const MAX_KEPT = 1_000
const MAX_KEPT_BYTES = 4 * 1024 * 1024

export class ExtendedQuery {
  readonly #state: SessionState
  readonly #portals = new Map<string, Portal>()
  #kept: FrontendMessage[] = []
  #keptBytes = 0
  /** An error came: nothing runs until Sync. */
  #skipping = false
  /** The Sync of this round belongs to a COPY that has begun: it is not answered. */
  #swallowSync = false

  constructor(state: SessionState) {
    this.#state = state
  }

  /** Keeps a message; true when it is time to carry out what is kept. */
  keep(message: FrontendMessage): boolean {
    this.#kept.push(message)
    this.#keptBytes += message.bytes.length
    return this.#kept.length >= MAX_KEPT || this.#keptBytes >= MAX_KEPT_BYTES
  }

  /** Messages are kept that no Sync or Flush has followed yet. */
  get pending(): boolean {
    return this.#kept.length > 0
  }

  /** A COPY FROM STDIN has begun in this round. */
  copyBegan(): void {
    this.#swallowSync = true
  }

  /** One statement for one content and nothing else: the whole round in one item. Undefined: take the general way. */
  hotPath(): Promise<void> | undefined {
    const running = this.#skipping ? undefined : this.#round()
    if (running === undefined) return undefined
    this.#clear()
    this.#portals.clear()
    return running
  }

  #round(): Promise<void> | undefined {
    try {
      const round = this.#kept
      return runRound(this.#state, round, () => {
        // What it prepared is prepared, and its client knows.
        this.#kept = round.filter(({ type }) => type !== Frontend.parse)
        return this.process('sync')
      })
    } catch (error) {
      // A message that cannot be read: the general way says so at its place in the round.
      if (error instanceof PgError) return undefined
      throw error
    }
  }

  /** Carries out what is kept. */
  async process(end: 'sync' | 'flush'): Promise<void> {
    const state = this.#state
    const round = this.#kept
    this.#clear()
    this.#swallowSync = false
    const executes = round.filter((message) => message.type === Frontend.execute).length
    for (const message of round) {
      if (this.#skipping) break
      try {
        await this.#one(message, executes > 1 || end === 'flush')
      } catch (error) {
        await this.#fail(error)
      }
    }
    if (end === 'sync' && !this.#swallowSync) await this.#sync()
    else if (end === 'flush') state.slot.end()
  }

  async #sync(): Promise<void> {
    const state = this.#state
    this.#skipping = false
    try {
      await endImplicit(state)
    } catch (error) {
      await this.#fail(error)
      this.#skipping = false
    }
    if (state.transaction === undefined) this.#portals.clear()
    state.ready()
  }

  async #fail(thrown: unknown): Promise<void> {
    const error = errorOf(thrown)
    this.#state.tell(error)
    this.#skipping = true
    await failTransaction(this.#state, error)
  }

  async #one(message: FrontendMessage, several: boolean): Promise<void> {
    const state = this.#state
    switch (message.type) {
      case Frontend.parse:
        return this.#parse(message)
      case Frontend.bind:
        return this.#bind(message)
      case Frontend.describe:
        return this.#describe(message)
      case Frontend.execute:
        return this.#execute(message, several)
      case Frontend.close: {
        const target = readClose(message)
        if (target.kind === 'S') state.prepared.delete(target.name)
        else this.#portals.delete(target.name)
        return state.connection.send(CLOSE_COMPLETE)
      }
      default:
        throw new SqlError('08P01', `message type ${message.type} is not expected here`)
    }
  }

  async #parse(message: FrontendMessage): Promise<void> {
    const state = this.#state
    const { statement, query, parameterTypes } = readParse(message)
    if (statement !== '' && state.prepared.has(statement))
      throw new SqlError('42P05', `prepared statement "${statement}" already exists`)
    const described = await this.#behindGate((scope) => describeText(state, scope, query, parameterTypes))
    state.prepared.set(statement, { text: query, types: parameterTypes, described })
    state.connection.send(PARSE_COMPLETE)
  }

  /** With the schema as it is when nobody changes it. */
  async #behindGate<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
    const state = this.#state
    state.slot.begin()
    try {
      await state.passGate()
      return await work(state.scope(state.sink, false))
    } finally {
      state.slot.end()
    }
  }

  #prepared(name: string): Prepared {
    const prepared = this.#state.prepared.get(name)
    if (prepared !== undefined) return prepared
    throw new SqlError(
      '26000',
      name === ''
        ? 'unnamed prepared statement does not exist'
        : `prepared statement "${name}" does not exist`,
    )
  }

  async #bind(message: FrontendMessage): Promise<void> {
    const state = this.#state
    const fields = readBind(message)
    const prepared = this.#prepared(fields.statement)
    const described = await this.#behindGate((scope) => currentDescription(state, scope, prepared))
    if (fields.parameters.length !== described.types.length) {
      throw new SqlError(
        '08P01',
        `bind message supplies ${fields.parameters.length} parameters, but prepared statement "${fields.statement}" requires ${described.types.length}`,
      )
    }
    if (fields.portal !== '' && this.#portals.has(fields.portal))
      throw new SqlError('42P03', `cursor "${fields.portal}" already exists`)
    this.#portals.set(fields.portal, {
      prepared,
      described,
      bound: { types: described.types, params: paramsOf(fields), resultFormats: fields.resultFormats },
    })
    state.connection.send(BIND_COMPLETE)
  }

  async #describe(message: FrontendMessage): Promise<void> {
    const state = this.#state
    const { connection } = state
    const target = readDescribe(message)
    if (target.kind === 'S') {
      const prepared = this.#prepared(target.name)
      const described = await this.#behindGate((scope) => currentDescription(state, scope, prepared))
      connection.send(parameterDescription(described.types))
      return connection.send(describedRows(described, []) ?? NO_DATA)
    }
    const { described, bound } = this.#portal(target.name)
    connection.send(describedRows(described, bound.resultFormats) ?? NO_DATA)
  }

  #portal(name: string): Portal {
    const portal = this.#portals.get(name)
    if (portal === undefined) throw new SqlError('34000', `portal "${name}" does not exist`)
    return portal
  }

  async #execute(message: FrontendMessage, several: boolean): Promise<void> {
    const state = this.#state
    const { portal: name, maxRows } = readExecute(message)
    const portal = this.#portal(name)
    if (portal.rest !== undefined) return this.#more(portal, maxRows)
    if (portal.done === true) return state.connection.send(commandComplete('SELECT 0'))
    const { described } = portal
    const { planned } = described
    if (several && state.transaction === undefined && planned.plan.kind !== 'session') {
      state.transaction = new SessionTransaction(state, false, {})
    }
    const statement = boundStatement(state, portal, described)
    if (maxRows === 0 || described.fields === undefined) {
      await runStatement(state, statement, state.sink, false)
      portal.done = described.fields !== undefined
      return
    }
    const collected = new CollectingSink(state.own('gather_limit'), 'the result of a portal')
    await runStatement(state, statement, collected, false)
    portal.rest = { rows: collected.rows, tail: collected.others, at: 0 }
    this.#more(portal, maxRows)
  }

  #more(portal: Portal, maxRows: number): void {
    const { connection } = this.#state
    const rest = portal.rest as NonNullable<Portal['rest']>
    const until = maxRows === 0 ? rest.rows.length : Math.min(rest.rows.length, rest.at + maxRows)
    const count = until - rest.at
    for (; rest.at < until; rest.at++) connection.send(rest.rows[rest.at] as Buffer)
    if (maxRows > 0 && count === maxRows) return connection.send(PORTAL_SUSPENDED)
    delete portal.rest
    portal.done = true
    connection.send(commandComplete(`SELECT ${count}`))
  }

  #clear(): void {
    this.#kept = []
    this.#keptBytes = 0
  }
}

/** What a portal runs. Planned again it has the same parameters and the same columns: its client may have been told of them. */
function boundStatement(state: SessionState, portal: Portal, described: Described): SessionStatement {
  const { planned, version, types, fields } = described
  const { prepared, bound } = portal
  return {
    planned,
    bound: bound.types.length === 0 && !wantsBinary(bound) ? unboundIfPlain(planned.plan.kind, bound) : bound,
    version,
    planAgain: async () => {
      const now = await currentDescription(state, state.scope(state.sink, false), prepared)
      if (now.types.join() !== types.join() || !isSameRow(now.fields, fields))
        throw new SqlError('0A000', 'cached plan must not change result type')
      return boundStatement(state, portal, now)
    },
  }
}

function isSameRow(now: Described['fields'], before: Described['fields']): boolean {
  const typesOf = (fields: Described['fields']) =>
    fields?.map(({ name, typeOid }) => `${name} ${typeOid}`).join()
  return typesOf(now) === typesOf(before)
}

function wantsBinary(bound: Bound): boolean {
  return bound.resultFormats.some((format) => format === 1)
}

/** Without parameters and with text results a statement may go as a simple Query; plans whose rows are relayed stay as they are. */
function unboundIfPlain(kind: string, bound: Bound): Bound | undefined {
  return kind === 'explain' || kind === 'copyOut' ? undefined : bound
}

/** Anything thrown as an error for the client; protocol errors of single messages stay errors of the statement. */
export function errorOf(thrown: unknown): SqlError {
  if (thrown instanceof PgError) {
    if (thrown.severity === 'FATAL') throw thrown
    const { code, message, detail, hint } = toPgError(thrown).fields
    return new SqlError(code, message, {
      ...(detail === undefined ? {} : { detail }),
      ...(hint === undefined ? {} : { hint }),
    })
  }
  return SqlError.wrap(thrown)
}
