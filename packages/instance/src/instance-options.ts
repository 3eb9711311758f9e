/** What the owner of an instance (segment, coordinator) gives to it and gets from it. */
import type { EnginePort, WalChunk } from '@mirabelle/engine'
import type {
  Assignment,
  Dbid,
  Epoch,
  HistoryEntry,
  Message,
  MirabelleError,
  SettledEntry,
  Timeline,
} from '@mirabelle/messages'
import type { Connection, Hello, Ports, Responder } from '@mirabelle/runtime'
import type {
  WalReader,
  WalReceiver,
  WalReceiverOptions,
  WalSenderHub,
  WalSenderHubOptions,
  WalSenderState,
} from '@mirabelle/wal'
import type { CopyFromPeer } from './copy/copy-from-peer.ts'
import type { WalEnd } from './mirror/wal-end.ts'
import type { BuildBase } from './refresh/build-base.ts'
import type { RoleState } from './role/instance-role.machine.ts'
import type { TextRows } from './sql/simple-query.ts'

/** Runs one statement of the instance's own. */
export type RunSql = (sql: string) => Promise<TextRows>

/**
 * Runs the instance's own SQL between transactions of others: never inside an open transaction and never while a prepared one is
 * pending (I6). Resolves to false, without having called `work`, when no such moment came within `deadlineMs`.
 */
export type QuietLane = (work: (run: RunSql) => Promise<void>, deadlineMs: number) => Promise<boolean>

/** What a role change looks like to the owner. */
export interface RoleChange {
  readonly from: RoleState
  readonly to: RoleState
  readonly reason: string
}

export interface InstanceHooks {
  /** The role changed; called after the instance itself has done what belongs to it (in `primary` the lane may open). Must not throw. */
  readonly onRole?: (change: RoleChange) => void
  /** The instance must end: with an error (exit status other than 0), or because it was stopped (undefined). Called once. */
  readonly onEnd: (error: MirabelleError | undefined) => void
  /** A connection of purpose `dispatch` while primary; sets its handlers. Without it such connections are refused. */
  readonly onDispatch?: (connection: Connection, hello: Hello) => void
  /** A connection of purpose `copy`; sets its handlers. Default: the sender of the block-wise copy, where the engine is PostgreSQL. */
  readonly onCopy?: (connection: Connection, hello: Hello) => void
  /** A control message that the instance does not know. Returns true when it was taken. */
  readonly onControl?: (connection: Connection, message: Message, respond: Responder | undefined) => boolean
  /** A higher epoch was promised (it is durable already). The promise is told after this resolves: by then no statement of an older
   * coordinator may run any more. */
  readonly onEpochRaised?: (epoch: Epoch) => Promise<void>
  /** Statements of this chunk that belong to a coordinator's dispatch. Called for each chunk of a primary. */
  readonly settledOf?: (chunk: WalChunk) => readonly SettledEntry[]
  /** Answers left the commit gate: send what they collected. */
  readonly onReleased?: () => void
  /** Stops taking new statements and resolves when none runs or waits (stop mode smart). */
  readonly quiesce?: () => Promise<void>
  /** The stream to the mirror has begun, caught up or ended; also that of a mirror which was replaced. Must not throw. */
  readonly onStream?: (dbid: Dbid, state: WalSenderState) => void
  /** Content -1: record with the segments whether the standby lacks WAL, before commits stop waiting for it. Tried again when it rejects. */
  readonly markStandby?: (stale: boolean) => Promise<void>
  /** Where the instance's own SQL runs. Default: straight into the engine, right only when nobody else uses it. */
  readonly quietLane?: QuietLane
  /** Copies the base. Default: the block-wise copy, where the engine is PostgreSQL. Without it a mirror that cannot follow becomes `unfit`. */
  readonly copyFromPeer?: CopyFromPeer
  /** Makes a new base beside the one of a mirror. Default: the block-wise comparison, where the engine is PostgreSQL. Without it no base is refreshed. */
  readonly buildBase?: BuildBase
  /** More for `instance.statusIs.detail`. */
  readonly detail?: () => string
}

/** The parts of the wal package that an instance drives; replaced in unit tests. */
export interface WalParts {
  /** Size of the segments, bytes. Default: PostgreSQL's. */
  readonly segmentSize?: number
  createHub(options: WalSenderHubOptions): WalSenderHub
  createReceiver(options: WalReceiverOptions): WalReceiver
  createReader(ports: Ports, folders: readonly string[]): WalReader
  /** Where the checked WAL of the folders ends; undefined when there is none. */
  findEnd(ports: Ports, folders: readonly string[]): Promise<WalEnd | undefined>
  /** Ancestors of the timeline, oldest first, from the history files in the folders. */
  history(ports: Ports, folders: readonly string[], timeline: Timeline): Promise<readonly HistoryEntry[]>
}

export interface InstanceOptions {
  readonly ports: Ports
  readonly clusterId: string
  readonly assignment: Assignment
  readonly engine: EnginePort
  readonly hooks: InstanceHooks
  /** Default: the wal package itself. */
  readonly wal?: WalParts
  /** Process id, resident memory and software, for `instance.statusIs`. */
  readonly processInfo?: () => { readonly pid: number; readonly rssBytes: number; readonly version: string }
  /** Checkpoints, slot, vacuum and block-wise copies. Off where the engine is no PostgreSQL. Default on. */
  readonly maintenance?: boolean
}
