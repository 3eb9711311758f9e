/** What a walsender sees of the hub that made it. */
import type { Lsn, Message, MirabelleError } from '@mirabelle/messages'
import type { Responder } from '@mirabelle/runtime'
import type { WalSenderHubOptions } from '../api.ts'
import type { SettledRing } from './settled-ring.ts'
import type { WalSender } from './wal-sender.actor.ts'

export interface HubInside {
  readonly options: WalSenderHubOptions
  readonly segmentSize: number
  /** End of published WAL. */
  readonly endLsn: Lsn
  readonly ring: SettledRing
  /** A request came on the stream's connection. */
  answer(sender: WalSender, message: Message, respond: Responder): void
  /** The mirror has flushed more. */
  flushed(sender: WalSender): void
  /** The stream is in another state. */
  changed(sender: WalSender, reason: MirabelleError | null): void
}
