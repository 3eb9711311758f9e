/**
 * What the walsender and the walreceiver promise to their owner, the instance actor: types only, so that both sides of the border
 * can be written against one page.
 *
 * Words used below. *Valid end*: end of the last record that passed its CRC-32C. *Flush LSN of a mirror*: every record that ends at or
 * before it has passed its CRC and is durable there; it is the valid end, or the start of a segment when a record that is not
 * complete yet goes across it (PostgreSQL can report such a position as its own flush LSN, and a commit gate that waits for
 * it must not wait for the next record).
 */
import type {
  Content,
  Dbid,
  Endpoint,
  Epoch,
  HistoryEntry,
  Lsn,
  MirabelleError,
  ReplicationRow,
  SettledEntry,
  Settings,
  Timeline,
} from '@mirabelle/messages'
import type { Connection, Hello, Ports } from '@mirabelle/runtime'

/** Who the instance is, from its identity file. */
export interface WalIdentity {
  readonly clusterId: string
  readonly content: Content
  readonly dbid: Dbid
}

/** What WAL files can be asked for; `createWalFiles` is the real one. */
export interface WalReader {
  /** The bytes [from, to), at most 1 MiB of them: fewer when the range is longer. Rejects with `wal.removed` when the first byte is not there. */
  read(at: {
    readonly timeline: Timeline
    readonly history: readonly HistoryEntry[]
    readonly from: Lsn
    readonly to: Lsn
  }): Promise<Uint8Array>
  /** Start of the oldest segment from which WAL is there without a gap up to `end`; `end` itself when there is none. */
  oldestLsn(timeline: Timeline, history: readonly HistoryEntry[], end: Lsn): Promise<Lsn>
  /** The content of a timeline history file, or undefined. */
  readHistory(timeline: Timeline): Promise<Uint8Array | undefined>
}

/** Where the primary stands, asked anew each time. */
export interface WalSource {
  readonly timeline: Timeline
  /** End of WAL that the engine has written. Used until the first `publish`; from then on the published end counts. */
  readonly flushLsn: Lsn
  /** Ancestors of the timeline, oldest first. */
  readonly history: readonly HistoryEntry[]
  readonly systemIdentifier: string
  readonly isPrimary: boolean
  /** Highest epoch promised. */
  readonly epoch: Epoch
}

/** Contiguous WAL that the engine has just written (engine port: WalChunk without its completions). */
export interface PublishedWal {
  readonly timeline: Timeline
  readonly start: Lsn
  readonly end: Lsn
  /** undefined: too many to carry, they are read from the files. The bytes must not be changed afterwards. */
  readonly bytes: Uint8Array | undefined
}

/** States of one walsender; the middle four are what pg_stat_replication shows. */
export type WalSenderState = 'startup' | 'catchup' | 'streaming' | 'stopping' | 'ended'

/** How the mirror of this primary is, for the FTS answer. */
export interface MirrorStatus {
  /** `none`: no walreceiver is connected. `startup`: connected, has not started to stream. */
  readonly state: 'none' | 'startup' | 'catchup' | 'streaming'
  /** dbid of the newest stream, 0 when there was none. */
  readonly dbid: Dbid
  /** Last flush LSN that it reported, 0 when none. Kept after a disconnect. */
  readonly flushLsn: Lsn
  /** It streams and has flushed everything that is published. */
  readonly caughtUp: boolean
  /** Monotonic ms of the connection, null when there is none. */
  readonly connectedSince: number | null
  /** Monotonic ms when the last stream ended (or the hub was made), null while one is connected. */
  readonly disconnectedAt: number | null
  /** Connections since a stream last reached `streaming` (con_attempt_count). */
  readonly attempts: number
}

/** What the hub tells its owner. Called from the main loop; must not throw. */
export interface WalSenderListeners {
  /** A mirror has flushed up to here (the commit gate waits for it). */
  readonly onFlushed: (dbid: Dbid, flushLsn: Lsn) => void
  /** A stream changed its state; `ended` says why. */
  readonly onState?: (dbid: Dbid, state: WalSenderState, reason: MirabelleError | null) => void
}

export interface WalSenderHubOptions {
  readonly ports: Ports
  readonly identity: WalIdentity
  readonly state: () => WalSource
  readonly files: WalReader
  readonly settings: () => Settings
  readonly listeners: WalSenderListeners
  /** Whether commits wait for the mirror, for pg_stat_replication. */
  readonly syncRep?: () => boolean
  /** Whether the instance may have WAL of this primary now: a mirror that has been replaced gets none. Default: every one. */
  readonly mayStream?: (dbid: Dbid) => boolean
  /** Size of WAL segments; 1 MiB by default. */
  readonly segmentSize?: number
  /** Limits of the ring of settled statements; 4096 entries and 1 MiB by default. */
  readonly settledLimit?: { readonly entries: number; readonly bytes: number }
}

/** All walsenders of one instance. */
export interface WalSenderHub {
  /** Takes over a connection of purpose `wal` (sets its handlers). */
  accept(connection: Connection, hello: Hello): void
  /**
   * The engine wrote WAL (durable locally or not): it goes out in this turn of the event loop. `settled` are the statements that are complete
   * at an LSN in this range; they never travel later than a byte of it. Entries of another incarnation than that of
   * `settledReset` are left out.
   */
  publish(wal: PublishedWal, settled: readonly SettledEntry[], incarnation: string): void
  /** A coordinator opened the lane: numbers from `nextSeq` on will be told, all before are forgotten unless it is the same incarnation. */
  settledReset(incarnation: string, nextSeq: number): void
  /** Continues, after a promotion, with what the walreceiver knew (`WalReceiverStopped.settled`). */
  settledSeed(known: SettledKnown): void
  /** What is known of settled statements here, for `dispatch.opened` and `dispatch.settled`. */
  settledKnown(): SettledKnown
  /** The engine was started again and its WAL now ends at `end`, perhaps below what was published: streams that are beyond it end. */
  restarted(timeline: Timeline, end: Lsn): void
  /** End of published WAL. */
  readonly endLsn: Lsn
  mirrorStatus(): MirrorStatus
  /** One row per stream. */
  replicationRows(): ReplicationRow[]
  /** Ends the streams of this dbid (all without one) with a reason. The hub can accept others afterwards. */
  disconnect(reason: MirabelleError, dbid?: Dbid): void
  /** Ends all streams and refuses new ones. */
  stop(): void
}

/** What an instance knows of statements that took effect. */
export interface SettledKnown {
  /** The coordinator incarnation that the numbers belong to; empty when none is known. */
  readonly incarnation: string
  /** Below this number nothing is known. */
  readonly floor: number
  /** Entries from the floor on, ascending. At or above the floor: not listed = did not take effect. */
  readonly entries: readonly SettledEntry[]
}

/** Answer for `dispatch.settled`. */
export interface SettledAnswer {
  readonly floor: number
  readonly settled: readonly SettledEntry[]
}

/** States of a walreceiver. */
export type WalReceiverState =
  | 'connecting'
  | 'identifying'
  | 'starting'
  | 'streaming'
  | 'waiting'
  | 'diverged'
  | 'removed'
  | 'foreign'
  | 'broken'
  | 'stopping'
  | 'stopped'

/** A position of received WAL. */
export interface WalPositions {
  readonly timeline: Timeline
  /** End of what was written to files. */
  readonly writeLsn: Lsn
  /** Acknowledged: checked and durable. */
  readonly flushLsn: Lsn
  /** End of the last record that passed its CRC, durable or not. */
  readonly validEnd: Lsn
  /** End of the sender's WAL as last heard. */
  readonly senderEnd: Lsn
}

export interface WalReceiverOptions {
  readonly ports: Ports
  /** `systemIdentifier` is compared when both sides know it (not empty). */
  readonly identity: WalIdentity & { readonly systemIdentifier?: string }
  readonly peer: { readonly dbid: Dbid; readonly endpoint: Endpoint }
  /** Folder of received WAL (`wal` in the instance's folder); must exist. */
  readonly walDir: string
  /** PostgreSQL's own folder of WAL: what the instance wrote as a primary lies there, and is compared with what the sender has in its place. */
  readonly ownWal?: string | undefined
  /**
   * Where the instance's checked WAL ends: from `findWalEnd`, or the start LSN of a base backup. `receivedEnd` must be a record boundary.
   */
  readonly start: { readonly timeline: Timeline; readonly receivedEnd: Lsn }
  /** Size of WAL segments; 1 MiB by default. Must agree with what the WAL itself says. */
  readonly segmentSize?: number
  /** Name of the replication slot; `mirror` by default. */
  readonly slot?: string
  readonly epoch: () => Epoch
  readonly replayLsn: () => Lsn
  readonly settings: () => Settings
  /**
   * Called after each flush that moved the acknowledged end, and once when the files of `walDir` hold what was there before the stream began:
   * WAL up to `lsn` is checked and durable in `walDir`, its segment from the start on (for `EnginePort.walArrived`).
   */
  readonly onFlushed: (timeline: Timeline, lsn: Lsn) => void
  /** Statements that took effect became known; `settledLookup` and `settledKnown` have them. */
  readonly onSettled?: () => void
  /** The state changed; `reason` says why in `waiting`, `diverged`, `removed`, `foreign`, `broken`. */
  readonly onState?: (state: WalReceiverState, reason: MirabelleError | null) => void
  /** The stream goes on on a newer timeline; its history files are in `walDir`. The engine must be started again to follow it. */
  readonly onTimeline?: (timeline: Timeline, history: readonly HistoryEntry[]) => void
}

/** What `stop` leaves behind. */
export interface WalReceiverStopped {
  readonly timeline: Timeline
  readonly history: readonly HistoryEntry[]
  /** End of the last record that is checked and durable; bytes after it in the files are to be ignored. */
  readonly receivedEnd: Lsn
  /** Statements whose WAL lies before `receivedEnd`. */
  readonly settled: SettledKnown
}

/** The walreceiver of a mirror. It runs from its creation until `stop`, or until it is diverged, removed, foreign or broken. */
export interface WalReceiver {
  readonly state: WalReceiverState
  readonly reason: MirabelleError | null
  positions(): WalPositions
  /** Of these statements, those that took effect in the WAL that is here. */
  settledLookup(incarnation: string, seqs: readonly number[]): SettledAnswer
  settledKnown(): SettledKnown
  /** The peer listens somewhere else now, or is another instance: the stream is made anew. */
  setPeer(peer: { readonly dbid: Dbid; readonly endpoint: Endpoint }): void
  /** Takes no more bytes, ends the flush in flight, closes everything. Idempotent: each call gets the same answer. */
  stop(): Promise<WalReceiverStopped>
}
