/**
 * The border to the block-wise copy of a data directory (replication §4). The instance actor calls it in state `copying`, with PostgreSQL
 * stopped and no walreceiver running; the mechanism behind it lives beside this file.
 */
import type { Epoch, HistoryEntry, Lsn, Peer, Timeline } from '@mirabelle/messages'
import type { Hello, Ports } from '@mirabelle/runtime'

/** `differential` copies blocks that differ, `full` empties the directory first. */
export type CopyMode = 'differential' | 'full'

/** How far a copy is. */
export interface CopyProgress {
  readonly bytesDone: number
  readonly bytesTotal: number
  /** What is being done, for people: a file, a phase. */
  readonly step: string
}

/** Where to copy from and to. */
export interface CopyRequest {
  readonly ports: Ports
  /** The instance's folder D; the copy fills `D/pgdata` and keeps what has to be kept aside. */
  readonly datadir: string
  /** The primary: connect to it with purpose `copy`. */
  readonly upstream: Peer
  /** What to say in the handshake, purpose filled in. */
  readonly hello: Hello
  readonly epoch: Epoch
  readonly progress: (progress: CopyProgress) => void
  /** Blocks are asked for at most at this rate, bytes a second; null = no limit. Asked before each request. */
  readonly maxRate?: () => number | null
  /** Aborted when the instance stops: the copy ends as soon as it can and rejects. */
  readonly signal: AbortSignal
}

/** What a complete copy needs in order to be started as a mirror. */
export interface CopyResult {
  readonly timeline: Timeline
  /** End of the checked WAL that came with the copy (a record boundary): where the walreceiver goes on. */
  readonly startLsn: Lsn
  readonly history: readonly HistoryEntry[]
  /** Size of the primary's files, and how much of that (and of WAL) had to be sent, for the log. */
  readonly bytesTotal?: number
  readonly bytesFetched?: number
}

/** Copies the base. Can be killed at any point; running it again completes it. Rejects with what went wrong, typed. */
export type CopyFromPeer = (mode: CopyMode, request: CopyRequest) => Promise<CopyResult>
