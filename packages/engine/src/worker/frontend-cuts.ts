/** Finds where the answers to a request's bytes fall apart: the end of each Query and Sync message. Pure. */

const QUERY = 0x51
const SYNC = 0x53

/** Offsets behind the first `count` Query or Sync messages; undefined when `bytes` holds fewer or a message is cut. */
export function syncEnds(bytes: Uint8Array, count: number): number[] | undefined {
  const ends: number[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  while (ends.length < count) {
    if (at + 5 > bytes.length) return undefined
    const end = at + 1 + view.getInt32(at + 1)
    if (end > bytes.length || end < at + 5) return undefined
    if (bytes[at] === QUERY || bytes[at] === SYNC) ends.push(end)
    at = end
  }
  return ends
}
