/** What one session has: shared by the parts of the session (simple query, extended protocol, actions). */
import {
  errorResponse,
  readErrorFields,
  readyForQuery,
  type ClientConnection,
  type ErrorFields,
} from '@mirabelle/pgwire'
import type { CatalogView } from '@mirabelle/sql'
import { parseSetting, type Settings } from '@mirabelle/messages'
import { asBuffer } from '../execute/answer-stream.ts'
import { CancelSlot } from '../execute/cancel-slot.ts'
import type { SchemaGate, Scope, Services } from '../execute/scope.ts'
import { clientSink, type Sink } from '../execute/sink.ts'
import type { CopyChannel } from '../copy/copy-channel.ts'
import { Foresight } from '../dtx/foresight.ts'
import { SqlError } from '../errors.ts'
import type { SchemaCache } from '../schema/schema-cache.ts'
import { firstErrorCode } from '../lanes/backend-bytes.ts'
import { Cursors } from './cursors.ts'
import type { DescribeCache, Described } from './describe.ts'
import { knownValue } from './known-value.ts'
import { AUTHORIZATION, ROLE, type SettingsOfSession } from './session-settings.ts'
import type { SessionTransaction } from './session-transaction.ts'

export interface Prepared {
  readonly text: string
  /** Declared parameter types. */
  readonly types: readonly number[]
  described: Described
}

type DurationSetting =
  'statement_timeout' | 'lock_timeout' | 'idle_in_transaction_session_timeout' | 'gather_limit'

export class SessionState {
  readonly services: Services
  readonly connection: ClientConnection
  readonly settings: SettingsOfSession
  readonly superuser: string
  readonly describeCache: DescribeCache
  readonly slot = new CancelSlot()
  readonly sink: Sink
  readonly prepared = new Map<string, Prepared>()
  readonly cursors = new Cursors()
  readonly foresight = new Foresight()
  transaction: SessionTransaction | undefined
  /** Its statement, or the last one it had; for pg_stat_activity. */
  statement: { readonly sql: string; readonly at: number } | undefined
  /** Begins a COPY FROM STDIN of the client; set by the session. */
  openCopyIn: (columns: number) => CopyChannel = () => {
    throw new SqlError('0A000', 'COPY FROM STDIN is not possible here')
  }
  #view: CatalogView | undefined
  #viewKey = ''

  constructor(options: {
    readonly services: Services
    readonly connection: ClientConnection
    readonly settings: SettingsOfSession
    readonly superuser: string
    readonly describeCache: DescribeCache
  }) {
    this.services = options.services
    this.connection = options.connection
    this.settings = options.settings
    this.superuser = options.superuser
    this.describeCache = options.describeCache
    this.sink = clientSink(options.connection)
  }

  /** The schema through the session's search_path. */
  view(): CatalogView {
    const { snapshot } = this.services.schema
    const { key } = this.settings.forStatements
    if (this.#view?.version === snapshot.version && this.#viewKey === key) return this.#view
    const path = this.settings.get('search_path') ?? this.services.schema.serverSetting('search_path') ?? ''
    this.#viewKey = key
    return (this.#view = snapshot.view(path, this.currentUser))
  }

  get sessionUser(): string {
    return this.settings.get(AUTHORIZATION) ?? this.superuser
  }
  get currentUser(): string {
    const role = this.settings.get(ROLE)
    return role === undefined || role === 'none' ? this.sessionUser : role
  }

  /** A setting that the session keeps by itself, in ms or bytes. */
  own(name: DurationSetting): number {
    const text = this.settings.get(name)
    const value: Settings[DurationSetting] =
      text === undefined ? this.services.hooks.settings()[name] : (parseSetting(name, text) as number)
    return value
  }

  /** True when nothing of the session needs care: statements may take the shortest way. */
  get plain(): boolean {
    return this.transaction === undefined && this.services.schema.open
  }

  get status(): 'I' | 'T' | 'E' {
    const { transaction } = this
    if (transaction?.explicit !== true) return 'I'
    return transaction.failed ? 'E' : 'T'
  }

  /** A statement begins. */
  begins(sql: string): void {
    this.statement = { sql, at: this.services.ports.clock.now() }
  }

  ready(): void {
    this.connection.send(readyForQuery(this.status))
  }

  /** What carrying out a statement needs; the answer goes to `sink`. */
  scope(sink: Sink, describe: boolean, planVersion = this.services.schema.snapshot.version): Scope {
    const { settings, services, transaction } = this
    return {
      services,
      sink,
      describe,
      settings: settings.forStatements,
      fullSettings: settings.full,
      transportSettings: settings.forTransport,
      slot: this.slot,
      get transaction() {
        return transaction?.dtx
      },
      lockTimeoutMs: this.own('lock_timeout'),
      gatherLimitBytes: this.own('gather_limit'),
      shownSetting: (name) => knownValue(this, name),
      planVersion,
      view: () => this.view(),
      notice: ({ severity, code, message, hint }) =>
        this.connection.notice({ severity, code, message, ...(hint === undefined ? {} : { hint }) }),
      openCopyIn: (columns) => this.openCopyIn(columns),
      schemaGate: () => schemaGate(services.schema, transaction),
      reloadSchema: (dtx) =>
        services.schema.load((item) =>
          dtx === undefined ? services.dispatcher.runOne(-1, item).promise : dtx.run(-1, item).promise,
        ),
    }
  }

  /** Sends an error; returns what was sent. */
  tell(error: SqlError): void {
    this.connection.send(errorBytes(this.describeError(error)))
  }

  /** A cancellation by timeout looks like a cancel request to the engine: the client is told the truth. */
  describeError(error: SqlError): SqlError {
    const { reason } = this.slot
    if (error.wire === undefined || reason === undefined || firstErrorCode(error.wire) !== '57014')
      return error
    return this.slot.error()
  }

  /** Whatever was thrown by carrying out a statement, as the client is told. */
  translated(error: unknown): unknown {
    return error instanceof SqlError ? this.describeError(error) : error
  }

  /** Waits until no other session changes the schema; who holds lanes goes on, because the changer waits for them. */
  async passGate(): Promise<void> {
    const { schema } = this.services
    while (!schema.open && this.transaction?.holdsLanes() !== true) {
      if (this.transaction !== undefined && schema.holds(this.transaction)) return
      await new Promise<void>((resolve, reject) => {
        const timeout = this.own('lock_timeout')
        const fail = (error: SqlError) => {
          giveUp()
          timer?.clear()
          reject(error)
        }
        const giveUp = schema.whenOpen(() => {
          timer?.clear()
          resolve()
        })
        const timer =
          timeout <= 0
            ? undefined
            : this.services.ports.clock.setTimer(timeout, () =>
                fail(new SqlError('55P03', 'canceling statement due to lock timeout')),
              )
        this.slot.set(() => fail(this.slot.error()))
      })
      this.slot.set(undefined)
    }
  }
}

function schemaGate(schema: SchemaCache, transaction: SessionTransaction | undefined): SchemaGate {
  const holder = transaction ?? {}
  const wasClosed = schema.holds(holder)
  return {
    close(othersWait) {
      schema.hold(holder, othersWait)
      if (transaction !== undefined) transaction.schemaChanged = true
    },
    open() {
      if (!wasClosed) schema.release(holder)
    },
    get isWaitedFor() {
      return schema.isWaitedFor && schema.holds(holder)
    },
  }
}

/** The ErrorResponse for an error. */
export function errorBytes(error: SqlError): Uint8Array {
  if (error.wire !== undefined) return error.wire
  return errorResponse({
    code: error.sqlstate,
    message: error.message,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.position === undefined ? {} : { position: error.position }),
  })
}

/** What the client is told of an error, field by field. */
export function errorFields(error: SqlError): ErrorFields {
  const bytes = asBuffer(errorBytes(error))
  return readErrorFields(bytes, 0, bytes.length)
}
