/** One dispatched statement on its way through a segment. */
import type { DispatchedRequest } from '@mirabelle/engine'
import type { MessageOf } from '@mirabelle/messages'
import type { Session } from './session.ts'

/** A statement as query.dispatch has it: seq, syncs, preamble syncs, flags, bytes. */
export type DispatchTuple = MessageOf<'query.dispatch'>['items'][number]

export interface Item {
  readonly session: Session
  readonly seq: number
  readonly syncs: number
  readonly preambleSyncs: number
  readonly flags: number
  /** What the flags say of it to the engine. */
  readonly asks: DispatchedRequest
  readonly bytes: Uint8Array
  /** A cancel came while it was held back, and it may not be left out: it is interrupted once it runs. */
  cancelled: boolean
}
