/** One dispatched statement on its way through a segment. */
import type { MessageOf } from '@mirabelle/messages'
import type { Session } from './session.ts'

/** A statement as query.dispatch has it: seq, syncs, preamble syncs, flags, bytes. */
export type DispatchTuple = MessageOf<'query.dispatch'>['items'][number]

/** Flag: stream the output. */
export const FLAG_STREAM = 1

export interface Item {
  readonly session: Session
  readonly seq: number
  readonly syncs: number
  readonly preambleSyncs: number
  readonly flags: number
  readonly bytes: Uint8Array
}
