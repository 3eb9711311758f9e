/** Notices of an engine on their way to the client. */
import { Backend, keepMessages } from '@mirabelle/pgwire'
import type { LaneResult } from '../lanes/lane-item.ts'
import { asBuffer } from './answer-stream.ts'
import type { Scope } from './scope.ts'

/** Passes on the notices of an answer that is otherwise not the client's. */
export function relayNotices(scope: Scope, result: LaneResult): void {
  for (const piece of keepMessages(asBuffer(result.output), (type) => type === Backend.noticeResponse)) {
    scope.sink.send(piece)
  }
}
