/** What the sending side of a copy gets from its primary, and what one connection of it sees of the whole. Types only. */
import type { BackupEntry } from '@mirabelle/engine'
import type { Content, Dbid, Epoch, Lsn, Timeline } from '@mirabelle/messages'
import type { Clock, Disk, Hello, Logger } from '@mirabelle/runtime'
import type { Quietly } from './online-backup.ts'

export interface CopySenderOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly log: Logger
  readonly identity: { readonly content: Content; readonly dbid: Dbid }
  readonly epoch: () => Epoch
  /** PostgreSQL's data directory. */
  readonly pgdata: string
  /** Runs SQL of the instance's own in a quiet moment; false when there was none. */
  readonly quietly: Quietly
  /** Makes WAL durable. */
  readonly syncWal: () => Promise<Lsn>
  readonly timeline: () => Timeline
  /** End of the WAL that is written. */
  readonly endLsn: () => Lsn
  /** Content of a timeline's history file, if it is there. */
  readonly readHistory: (timeline: Timeline) => Promise<Uint8Array | undefined>
  /** The walreceiver of this instance streams and has WAL up to here: nothing need be kept for it but what it lacks. */
  readonly hasWal: (dbid: Dbid, lsn: Lsn) => boolean
  /** What belongs into a copy of `pgdata`; default: as the disk lists it. */
  readonly list?: (pgdata: string) => Promise<readonly BackupEntry[]>
}

/** A connection of purpose `copy`, as the sender knows it. */
export interface CopyConnection {
  readonly hello: Hello
  /** The backup was ended in good order: the copy is whole. */
  readonly complete: boolean
}

/** The sender, as one of its connections sees it. */
export interface CopyHost {
  readonly options: CopySenderOptions
  readonly closed: boolean
  /** One at a time: throws `copy.busy`. */
  occupy(session: CopyConnection): void
  /** The session's backup has ended in PostgreSQL (or never began). */
  vacate(session: CopyConnection): void
  /** WAL from here on is needed. */
  pin(session: CopyConnection, lsn: Lsn): void
  /** The session's connection is closed. */
  left(session: CopyConnection): void
}
