/**
 * What the FTS prober needs from the coordinator, and what it offers (replication §3). The coordinator implements FtsCatalog and
 * FtsTransport over its own PostgreSQL and the cluster network; the simulation implements them over stand-ins.
 */
import type { Content, Dbid, MessageOf, Mode, Role, SegmentRow, Settings, Status } from '@mirabelle/messages'
import type { Clock, Logger } from '@mirabelle/runtime'

/** The answer of an instance to `fts.probe`, `segment.promote` and `segment.syncRepOff`. */
export type FtsReply = MessageOf<'fts.probed'>

/** A catalog row as FTS changes it. */
export interface RowChange {
  readonly dbid: Dbid
  readonly role: Role
  readonly mode: Mode
  readonly status: Status
}

/** A row for gp_configuration_history; the catalog adds the time. */
export interface HistoryRow {
  readonly dbid: Dbid
  readonly description: string
}

/** The coordinator's catalog as FTS sees it. */
export interface FtsCatalog {
  /** The current rows of all contents ≥ 0, from memory. After `record` has resolved they show its changes. Rows of content -1 are ignored. */
  rows(): readonly SegmentRow[]
  /**
   * One transaction: the changed rows and the history rows. Resolves when it is durable on the coordinator (and on its standby, as far
   * as the coordinator waits for that). Rejects when it is not known to be durable: then FTS tells nobody anything and looks again in a second (I3).
   * `changes` may be empty (history only).
   */
  record(changes: readonly RowChange[], history: readonly HistoryRow[]): Promise<void>
}

/**
 * How FTS reaches instances. Each call is one attempt on a connection of its own or a shared one, sends the coordinator's epoch, and
 * rejects with a MirabelleError; `epoch.stale` from any of them stops the prober. `timeoutMs` bounds the whole attempt, connecting included.
 */
export interface FtsTransport {
  /** Sends `fts.probe`. */
  probe(row: SegmentRow, timeoutMs: number): Promise<FtsReply>
  /** Sends `segment.promote`. */
  promote(row: SegmentRow, timeoutMs: number): Promise<FtsReply>
  /** Sends `segment.syncRepOff`. */
  syncRepOff(row: SegmentRow, timeoutMs: number): Promise<FtsReply>
  /**
   * Sends `agent.fence` for this instance to the agent of its host, best effort and bounded by the transport. Started together with
   * PROMOTE, never waited for: until it works, I1 keeps the old primary from answering, since its mirror does not acknowledge any more.
   */
  fence(row: SegmentRow, reason: string): Promise<void>
}

/** The names of the cluster messages that FTS asks instances; the agreement test compares them with the protocol. */
export const ftsRequests = ['fts.probe', 'segment.promote', 'segment.syncRepOff'] as const

/** What made FTS look at once. */
export type FtsNotice =
  /** The agent says that the process is gone for certain. One probe confirms that no newer process serves; no retries, no grace period. */
  | { readonly kind: 'death'; readonly dbid: Dbid; readonly pid: number }
  /** A connection to the instance ended. */
  | { readonly kind: 'connection-lost'; readonly dbid: Dbid }
  /** Heartbeats of a connection stayed out (`connection.silent`): counts as the first failed attempt when it was the primary. */
  | { readonly kind: 'connection-silent'; readonly dbid: Dbid }
  /** A statement could not be sent or was refused. */
  | { readonly kind: 'dispatch-failed'; readonly dbid: Dbid }

/** How FTS sees the health of a content. */
export type ContentHealth =
  /** Not probed yet. */
  | 'unknown'
  /** The acting primary answers as primary. */
  | 'up'
  /** The acting primary is in crash recovery or its promotion is under way. */
  | 'recovering'
  /** It stopped answering; FTS is still asking again. */
  | 'suspect'
  /** The mirror is recorded as primary and has not yet answered as primary. */
  | 'failing-over'
  /** No copy can serve: the primary does not answer and the mirror may not, or cannot, take over. */
  | 'double-fault'
  /** The instance of a content without mirror does not answer. */
  | 'down'

/** For `state` output. */
export interface FtsContentState {
  readonly content: Content
  readonly health: ContentHealth
  /** The state of the content's machine. */
  readonly machineState: string
  /** dbid of the acting primary as last seen, 0 before the first cycle. */
  readonly primaryDbid: Dbid
  /** Wall clock, ms, when `health` became what it is. */
  readonly sinceMs: number
  /** Last answer of the acting primary. */
  readonly lastReply: FtsReply | null
  /** What an administrator can do; empty when nothing needs to be done. */
  readonly advice: string
}

/** What the prober is made of. */
export interface FtsProberOptions {
  readonly ports: { readonly clock: Clock; readonly log: Logger }
  readonly catalog: FtsCatalog
  readonly transport: FtsTransport
  /** Current settings; read again in each cycle. */
  readonly settings: () => Settings
  /** Rows of this content were changed durably. Called before PROMOTE or SYNCREP_OFF is sent. Must not throw. */
  readonly onTopologyChange: (content: Content) => void
  /** The health of a content has changed. Must not throw. */
  readonly onHealthChange?: (state: FtsContentState) => void
  /** A content without mirror is down and `mirrorless_policy` is `shutdown`. Called once per episode. Must not throw. */
  readonly onShutdownNeeded: (content: Content, reason: string) => void
  /** An instance has promised a higher epoch. The prober has stopped; the coordinator must stop too. Called once. Must not throw. */
  readonly onSuperseded: (reason: string) => void
  /**
   * How long a primary that answers "recovering" may show no advance of its replay LSN before that counts as no answer, ms.
   * Default 20,000: the engine's start-up shows no progress while it compiles.
   */
  readonly recoveryStallMs?: number
}

/** The FTS prober. */
export interface FtsProber {
  /** Probes all contents now and from then on every `gp_fts_probe_interval`. */
  start(): void
  /** Ends: nothing is sent or recorded afterwards. Resolves when a record that was under way is settled; pending scans reject. */
  stop(): Promise<void>
  /**
   * gp_request_fts_probe_scan(): resolves when a cycle of every content that started after this call has ended, whatever it found.
   * Requests between cycles share one; a request during a cycle gets a fresh one. A content on hold is passed over.
   * Rejects with `not.ready` when the prober does not run.
   */
  requestScan(): Promise<void>
  /** The same for one content. */
  requestProbe(content: Content): Promise<void>
  /** A trigger. Ignored for unknown dbids and content -1. */
  notify(notice: FtsNotice): void
  /** Keeps FTS off a content while an administrator changes roles (rebalance, moves). Resolves, when no cycle of it runs, with the function that ends the hold. */
  hold(content: Content): Promise<() => void>
  /** What FTS knows of a content; undefined if there is none. */
  contentState(content: Content): FtsContentState | undefined
}
