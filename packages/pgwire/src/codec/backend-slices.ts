/** Cuts concatenated answers into pieces without copying: what belongs to which statement, which messages to pass on. */
import { forEachWholeMessage } from './for-each-message.ts'
import { Backend } from './message-types.ts'

/**
 * Cuts the answers to several batches into one piece a batch: each ends with its ReadyForQuery. Whatever follows the last
 * ReadyForQuery is a last piece of its own. Pieces are views.
 */
export function splitAtReady(output: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  let from = 0
  forEachWholeMessage(output, (type, _start, end) => {
    if (type !== Backend.readyForQuery) return
    pieces.push(output.subarray(from, end))
    from = end
  })
  if (from < output.length) pieces.push(output.subarray(from))
  return pieces
}

/** The messages whose type `keep` accepts, as views; neighbours come as one view. */
export function keepMessages(output: Buffer, keep: (type: number) => boolean): Buffer[] {
  const kept: Buffer[] = []
  let from = -1
  forEachWholeMessage(output, (type, start) => {
    if (keep(type)) {
      if (from === -1) from = start
      return
    }
    if (from !== -1) kept.push(output.subarray(from, start))
    from = -1
  })
  if (from !== -1) kept.push(output.subarray(from))
  return kept
}

/** All DataRows, as views: the way to concatenate the rows of several segments. */
export function dataRowsOf(output: Buffer): Buffer[] {
  return keepMessages(output, (type) => type === Backend.dataRow)
}

/** How many messages of this type there are. */
export function countMessages(output: Uint8Array, wanted: number): number {
  let count = 0
  forEachWholeMessage(output, (type) => {
    if (type === wanted) count += 1
  })
  return count
}
