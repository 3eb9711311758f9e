/** What runs in a lane: one run of frontend messages for one content, and what comes back. */
import { DispatchFlag, type Lsn } from '@mirabelle/messages'

/** The settings of a session that its statements need on a segment. */
export interface SessionSettings {
  /** Equal keys mean equal settings; '' means nothing differs from a fresh backend. */
  readonly key: string
  /** Statements that bring a fresh backend to these settings (`SET a = …; SET ROLE …`), '' for none. */
  readonly sql: string
}

/** A fresh backend's settings. */
export const NO_SETTINGS: SessionSettings = { key: '', sql: '' }

/** A prepared statement that an item binds: its name on segments, and the Parse message that makes it. */
export interface StatementUse {
  /** Name on the backend, made from a hash of text, types, settings and catalog version. */
  readonly name: string
  /** A whole Parse message for that name. */
  readonly parse: Uint8Array
}

/**
 * What to do when the connection is lost after the item was sent:
 * - `rerun`: an autocommit statement; looked up by its number when it writes, then answered or run again;
 * - `lookup`: must not run twice and is not run again (COMMIT): answered if it took effect, else rejected with LaneLost;
 * - `fail`: part of a transaction; rejected with LaneLost at once.
 */
export type WhenLost = 'rerun' | 'lookup' | 'fail'

export interface LaneItem {
  /** Whole frontend messages that end in Query or Sync. */
  readonly bytes: Uint8Array
  /** ReadyForQuery answers that they lead to. */
  readonly syncs: number
  /** undefined = whatever applies now (inside a transaction that failed nothing can be set). */
  readonly settings: SessionSettings | undefined
  /** Statements run in front, after the settings; their answers are dropped (BEGIN, SAVEPOINT). If one fails its error is the answer. */
  readonly lead?: readonly string[]
  /** May write WAL. */
  readonly write: boolean
  readonly whenLost: WhenLost
  /** Belongs to a transaction that an earlier item has opened: where none is open it does not run (answer 40001), however that came. */
  readonly inTransaction?: boolean
  /** One of several that read different contents at one moment: it does not come back later by itself. */
  readonly atOneMoment?: boolean
  /** Throws when it may not run any more as it is; asked when lanes have been waited for, and before it runs at another moment than its turn. */
  readonly fits?: () => void
  /** Items behind it rely on its success: an error of it ends the backend. */
  readonly mustSucceed?: boolean
  /** Brings its settings along even where they should be there: it is not to come back because they were not. */
  readonly bringsSettings?: boolean
  /** Prepared on the backend before `bytes`, when it is not there yet. The Parse joins the first group of messages. */
  readonly statement?: StatementUse
  /** Takes the answer in pieces; its promise is the back-pressure. */
  readonly onOutput?: (chunk: Uint8Array) => void | Promise<void>
  /** Told the number under which the item can be cancelled. */
  readonly onSent?: (seq: number) => void
}

/** What a segment has to know of an item: bits of DispatchFlag. */
export function flagsOf({ onOutput, inTransaction, mustSucceed }: LaneItem): number {
  return (
    (onOutput === undefined ? 0 : DispatchFlag.stream) |
    (inTransaction === true ? DispatchFlag.inTransaction : 0) |
    (mustSucceed === true ? DispatchFlag.mustSucceed : 0)
  )
}

/** What a statement of a transaction says of itself; BEGIN, settings and loss are the transaction's business. */
export type TransactionItem = Pick<
  LaneItem,
  'bytes' | 'syncs' | 'settings' | 'write' | 'statement' | 'onOutput'
>

/** Bytes of an item, its settings not counted. */
export function sizeOf({ bytes, statement }: LaneItem): number {
  return bytes.byteLength + (statement?.parse.byteLength ?? 0)
}

export interface LaneResult {
  /** Backend messages (what `onOutput` did not take). The answers to preparing a statement on the way are cut out. */
  readonly output: Uint8Array
  readonly lsn: Lsn
  readonly txStatus: 'I' | 'T' | 'E'
}

/** The lane of a content broke while the item was under way. `tookEffect` says what is known of it. */
export class LaneLost extends Error {
  override readonly name = 'LaneLost'
  readonly content: number
  readonly tookEffect: 'no' | 'yes' | 'unknown'
  constructor(content: number, tookEffect: 'no' | 'yes' | 'unknown', reason: string) {
    super(`content ${content}: ${reason}`)
    this.content = content
    this.tookEffect = tookEffect
  }
}
