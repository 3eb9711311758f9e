/** What the machine of one content remembers, hears and asks for. */
import type { Content, ErrorCode, SegmentRow } from '@mirabelle/messages'
import type { ContentHealth, FtsReply } from './fts-ports.ts'
import type { CatalogRecord, Pair } from './fts-pair.ts'
import type { RecoveryProgress } from './fts-verdict.ts'

/** Waits of the prober that are not settings, ms. */
export const ftsTimes = {
  /** Between two attempts of one message. */
  retryGapMs: 200,
  /** Longest wait for the one probe that confirms a death certificate: a dead process's port refuses at once. */
  confirmTimeoutMs: 250,
  /** The next look after something failed: a record, PROMOTE, SYNCREP_OFF; or while a content is down. */
  againMs: 1_000,
  /** The next look at a mirror in its grace period, or catching up while recorded in sync. */
  graceMs: 200,
  /** The next look at a mirror whose death is certain but which its primary still calls up. */
  mirrorDeadMs: 50,
  /** The next look at a mirror that lost a connection. */
  mirrorSuspectMs: 1_000,
  /** The next look at a primary whose promotion is under way. */
  promotedMs: 100,
  /** The next look at a primary in recovery, or at a mirror that catches up. */
  recoveringMs: 500,
  /** An attempt that took so much longer than its limit says that this process stood still, not the other. */
  ownStallMs: 500,
} as const

/** Attempts in one cycle that may be repeated without being counted, because this process itself stood still. */
export const OWN_STALLS_FORGIVEN = 3
/** Looks at a mirror with a death certificate before the certificate is taken for an old one. */
export const MIRROR_DEATH_LOOKS = 20

/** Settings of one cycle. */
export interface CycleLimits {
  readonly retries: number
  readonly probeTimeoutMs: number
  readonly recoveryStallMs: number
  readonly shutdownWhenMirrorless: boolean
}

/** What one machine remembers. */
export interface FtsContext {
  readonly content: Content
  /** The rows as last read; null before the first cycle. */
  readonly pair: Pair | null
  readonly limits: CycleLimits
  /** Failed attempts of the message under way. */
  readonly failures: number
  /** Answers in this cycle that asked to be asked again. */
  readonly asks: number
  /** Attempts in this cycle that were not counted because this process stood still. */
  readonly ownStalls: number
  /** A death certificate of the acting primary is being acted on. */
  readonly primaryDead: boolean
  /** A death certificate of the mirror has not been refuted. */
  readonly mirrorDead: boolean
  /** Looks left at a mirror that may be gone without its primary knowing yet. */
  readonly mirrorLooks: number
  readonly recovery: RecoveryProgress | null
  /** A double fault (or, without mirror, being down) is in the history and not over. */
  readonly faultRecorded: boolean
  readonly health: ContentHealth
  readonly lastReply: FtsReply | null
  /** When to look again, ms after the end of the cycle; null = at the next interval. */
  readonly recheckMs: number | null
}

/** What a machine hears. `pair` is the catalog as it is when the event happens. */
export type FtsEvent =
  | {
      readonly type: 'CYCLE'
      readonly pair: Pair
      readonly limits: CycleLimits
      readonly primaryDead: boolean
      readonly mirrorDead: boolean
      /** Looks to add after this one, since the mirror lost a connection or died. */
      readonly mirrorLooks: number
      /** Heartbeats of the primary stayed out: counts as a failed attempt. */
      readonly primarySilent: boolean
    }
  | { readonly type: 'ANSWERED'; readonly reply: FtsReply; readonly pair: Pair; readonly atMs: number }
  | {
      readonly type: 'FAILED'
      readonly code: ErrorCode
      readonly pair: Pair
      /** The attempt ended long after its limit: this process stood still. */
      readonly ownStall: boolean
    }
  | { readonly type: 'DEATH'; readonly of: 'primary' | 'mirror' }
  | { readonly type: 'RETRY_DUE' }
  | { readonly type: 'RECORDED'; readonly pair: Pair }
  | { readonly type: 'RECORD_FAILED' }
  /** An administrator has changed who is primary or mirror while an answer was awaited. */
  | { readonly type: 'PAIR_CHANGED' }

/** What a machine asks its actor to do. Each `send…` and `record` ends in one ANSWERED/FAILED or RECORDED/RECORD_FAILED. */
export type FtsEffect =
  | { readonly type: 'sendProbe'; readonly params: { readonly row: SegmentRow; readonly timeoutMs: number } }
  | {
      readonly type: 'sendPromote'
      readonly params: { readonly row: SegmentRow; readonly timeoutMs: number }
    }
  | {
      readonly type: 'sendSyncRepOff'
      readonly params: { readonly row: SegmentRow; readonly timeoutMs: number }
    }
  | { readonly type: 'record'; readonly params: CatalogRecord }
  | { readonly type: 'fence'; readonly params: { readonly row: SegmentRow | null } }
  | { readonly type: 'startRetryTimer'; readonly params: { readonly delayMs: number } }
  | { readonly type: 'clearRetryTimer'; readonly params: undefined }
  | { readonly type: 'askForShutdown'; readonly params: { readonly row: SegmentRow } }
  | { readonly type: 'reportSuperseded'; readonly params: { readonly row: SegmentRow } }

/** The memory of a machine that has not run. */
export function initialContext(content: Content): FtsContext {
  return {
    content,
    pair: null,
    limits: { retries: 0, probeTimeoutMs: 0, recoveryStallMs: 0, shutdownWhenMirrorless: false },
    failures: 0,
    asks: 0,
    ownStalls: 0,
    primaryDead: false,
    mirrorDead: false,
    mirrorLooks: 0,
    recovery: null,
    faultRecorded: false,
    health: 'unknown',
    lastReply: null,
    recheckMs: null,
  }
}
