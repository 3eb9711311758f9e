/** What a walsender and the hub that made it see of each other. */
import type { Lsn, Message, MessageOf, MirabelleError, ReplicationRow } from '@mirabelle/messages'
import type { Connection, Hello, Responder } from '@mirabelle/runtime'
import type { PublishedWal, WalSenderHubOptions, WalSenderState } from '../api.ts'
import type { SettledRing } from './settled-ring.ts'

/** The hub, as a walsender sees it. */
export interface HubInside {
  readonly options: WalSenderHubOptions
  readonly segmentSize: number
  /** End of published WAL. */
  readonly endLsn: Lsn
  readonly ring: SettledRing
  /** A request came on the stream's connection. */
  answer(stream: WalStream, message: Message, respond: Responder): void
  /** The mirror has flushed more. */
  flushed(stream: WalStream): void
  /** The stream is in another state. */
  changed(stream: WalStream, reason: MirabelleError | null): void
}

/** One walsender, as the hub sees it. */
export interface WalStream {
  readonly connection: Connection
  readonly hello: Hello
  readonly state: WalSenderState
  /** Monotonic ms. */
  readonly connectedAtMs: number
  readonly flushLsn: Lsn
  readonly sentLsn: Lsn
  /** It streams and the mirror has flushed all that is published. */
  readonly caughtUp: boolean
  /** The hub has granted wal.start and queued the answer; `settled` tells up to where that one told the settled statements. */
  start(message: MessageOf<'wal.start'>, settled: { index: number; generation: number }): void
  /** The engine wrote WAL; the settled statements of it are in the ring already. */
  published(wal: PublishedWal): void
  /** Ends the stream; the mirror may come again. */
  stop(reason: MirabelleError): void
  row(syncState: 'sync' | 'async'): ReplicationRow
}
