/** Where an instance's checked WAL ends. */
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'

export interface WalEnd {
  readonly timeline: Timeline
  /** End of the last record that passed its CRC: a record boundary. */
  readonly receivedEnd: Lsn
  /** WAL follows that cannot be reached, because a record before it is damaged: some of it may have been acknowledged. */
  readonly damaged?: true
  /**
   * A promotion that was interrupted has missed the end of what was received: its timeline begins at `at`, and WAL of the one before was received up to `received`.
   */
  readonly missed?: { readonly at: Lsn; readonly received: Lsn }
  /** Ancestors of the timeline, oldest first. */
  readonly history: readonly HistoryEntry[]
}
