/** Everything that carrying out one statement of one session needs. Made by the session for each statement. */
import type { CatalogView, Planner, PlanNotice } from '@mirabelle/sql'
import type { Ports } from '@mirabelle/runtime'
import type { Dispatcher } from '../dispatcher.ts'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import type { SessionSettings } from '../lanes/lane-item.ts'
import type { SchemaCache } from '../schema/schema-cache.ts'
import type { FrontendHooks } from '../session/frontend-hooks.ts'
import type { SessionDirectory } from '../session/session-directory.ts'
import type { CopyChannel } from '../copy/copy-channel.ts'
import type { CancelSlot } from './cancel-slot.ts'
import type { LocalUsers } from './local-users.ts'
import type { Sink } from './sink.ts'

/** What all sessions share. */
export interface Services {
  readonly dispatcher: Dispatcher
  readonly ports: Ports
  readonly schema: SchemaCache
  readonly planner: Planner
  readonly hooks: FrontendHooks
  readonly localUsers: LocalUsers
  readonly sessions: SessionDirectory
}

/** The gate in front of the schema, for one change. */
export interface SchemaGate {
  /** Nobody plans any more who holds no lane. `othersWait`: called when somebody has begun to wait for that. */
  close(othersWait: () => void): void
  /** Not if the transaction has changed the schema before this change. */
  open(): void
  /** Somebody waits for this change. */
  readonly isWaitedFor: boolean
}

export interface Scope {
  readonly services: Services
  readonly sink: Sink
  /** The client expects a RowDescription in front of the rows (simple protocol). */
  readonly describe: boolean
  readonly settings: SessionSettings
  /** Settings that look at the client too (application_name). */
  readonly fullSettings: SessionSettings
  /** Settings under which values keep their exact text between instances. */
  readonly transportSettings: SessionSettings
  readonly slot: CancelSlot
  /** The open transaction (BEGIN, or several statements in one message); undefined = autocommit. */
  readonly transaction: DistributedTransaction | undefined
  readonly lockTimeoutMs: number
  readonly gatherLimitBytes: number
  /** A setting as SHOW prints it, when the session or the cluster knows it better than an engine. */
  shownSetting(name: string): string | undefined
  /** Version of the schema that the statement was planned with. */
  readonly planVersion: number
  /** The schema as the session sees it now. */
  view(): CatalogView
  notice(notice: PlanNotice): void
  /** Tells the client to send its COPY data, and gives what it sends. */
  openCopyIn(columns: number): CopyChannel
  /** For a schema change in the open transaction, or by itself when there is none. An open transaction keeps the gate closed until its end. */
  schemaGate(): SchemaGate
  /** Reads the schema again, inside the transaction that changed it. */
  reloadSchema(transaction: DistributedTransaction | undefined): Promise<void>
}
